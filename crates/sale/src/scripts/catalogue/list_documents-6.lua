-- Puts documents into the lists of the catalogue: once, for a catalogue that was made before there were lists.
-- KEYS  1 documents  2 sales by start  3 archived sales  4 items by sale  5 listed items  6 revision
-- ARGV  5 'sale' or 'item'; 'done' when all are listed
--       6… for each document its id, its version, the sale's start or the item's sale, '1' if the sale is archived or the
--       item listed
-- Replies
--   {'listed'} a document that has changed since it was read is left out, because the script that saved it has listed it
local documents, sales_by_start, archived_sales, items_by_sale, listed_items, revision = unpack(KEYS)
local kind = ARGV[5]

if kind == 'done' then
  redis.call('SET', revision, integer(now), 'NX')
  return {'listed'}
end
for at = 6, #ARGV, 4 do
  local id, place, flag = ARGV[at], ARGV[at + 2], ARGV[at + 3] == '1'
  if version_of(documents, id) == tonumber(ARGV[at + 1]) then
    if kind == 'sale' then
      list_sale(sales_by_start, archived_sales, id, place, flag)
    else
      list_item(items_by_sale, listed_items, place .. '/' .. id, flag)
    end
  end
end
return {'listed'}
