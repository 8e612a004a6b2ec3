-- Archives a sale with all of its items, if nobody has changed one of them meanwhile: they leave the public lists for good.
-- KEYS  1 sales  2 items  3 rules  4 log  5 sales by start  6 archived sales  7 items by sale  8 listed items  9 revision
-- ARGV  5 the sale's id  6 the version that must be saved now  7 the new version  8 the document  9 the sale's start
--       10 members of the operator's change, or ''  11 how many entries the log keeps
--       12… for each item its id, the version that must be saved now, the new version, the document
-- Replies
--   {'archived'}  {'changed'} the sale or one of its items is not as expected, or there are others
local sales, items, rules, log, sales_by_start, archived_sales, items_by_sale, listed_items, revision = unpack(KEYS)
local id, expected, version, document, starts_at, members = unpack(ARGV, 5, 10)

if version_of(sales, id) ~= tonumber(expected) or count_items(items_by_sale, id) ~= (#ARGV - 11) / 4 then
  return {'changed'}
end
for at = 12, #ARGV, 4 do
  if version_of(items, ARGV[at]) ~= tonumber(ARGV[at + 1]) then return {'changed'} end
end
redis.call('HSET', sales, id, version .. '|' .. document)
list_sale(sales_by_start, archived_sales, id, starts_at, true)
for at = 12, #ARGV, 4 do
  local item = ARGV[at]
  redis.call('HSET', items, item, ARGV[at + 2] .. '|' .. ARGV[at + 3])
  redis.call('HDEL', rules, item)
  list_item(items_by_sale, listed_items, id .. '/' .. item, false)
end
bump(revision)
if members ~= '' then
  redis.call('XADD', log, 'MAXLEN', ARGV[11], '*', 'entry', '{"at":' .. integer(now) .. ',' .. members
    .. ',"before":"ended","after":"archived"}')
end
return {'archived'}
