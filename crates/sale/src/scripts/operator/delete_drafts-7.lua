-- Deletes a draft, or a sale with all of its drafts, if nobody has changed one of them meanwhile. The caller has read these
-- versions and seen that none of them was ever published.
-- KEYS  1 sales  2 items  3 rules  4 log  5 sales by start  6 archived sales  7 items by sale
-- ARGV  5 the sale's id  6 the version of the sale that must be saved now, or '' if the sale stays
--       7 members of the operator's change, or ''  8 how many entries the log keeps
--       9… for each draft its id, and the version that must be saved now
-- Replies
--   {'deleted'}  {'changed', the saved version of what does not match, 0 for none} also if the sale has other items
local sales, items, rules, log, sales_by_start, archived_sales, items_by_sale = unpack(KEYS)
local sale, sale_version, members = ARGV[5], ARGV[6], ARGV[7]

local before = sale_version ~= '' and sale_version or ARGV[10]
if sale_version ~= '' then
  local current = version_of(sales, sale)
  if current ~= tonumber(sale_version) or count_items(items_by_sale, sale) ~= (#ARGV - 8) / 2 then
    return {'changed', current}
  end
end
for at = 9, #ARGV, 2 do
  local current = version_of(items, ARGV[at])
  if current ~= tonumber(ARGV[at + 1]) then return {'changed', current} end
end
for at = 9, #ARGV, 2 do
  local item = ARGV[at]
  redis.call('HDEL', items, item)
  redis.call('HDEL', rules, item)
  redis.call('ZREM', items_by_sale, sale .. '/' .. item)
end
if sale_version ~= '' then
  redis.call('HDEL', sales, sale)
  redis.call('ZREM', sales_by_start, sale)
  redis.call('ZREM', archived_sales, sale)
end
if members ~= '' then
  redis.call('XADD', log, 'MAXLEN', ARGV[8], '*', 'entry', '{"at":' .. integer(now) .. ',' .. members .. ',"before":'
    .. before .. ',"after":0}')
end
return {'deleted'}
