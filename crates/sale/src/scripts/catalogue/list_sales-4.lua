-- Reads a page of sales, the latest to start first, and how many items each has.
-- KEYS  1 revision  2 sales by start, or archived sales  3 items by sale  4 sales
-- ARGV  5 number of the first, from 0  6 number of the last
-- Replies
--   {'sales', how many there are, and for each sale of the page its record and its number of items}
--   {'unlisted'} the lists are not made yet
local revision, sales_by_start, items_by_sale, sales = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

if redis.call('EXISTS', revision) == 0 then return {'unlisted'} end
local reply = {'sales', redis.call('ZCARD', sales_by_start)}
for _, id in ipairs(redis.call('ZREVRANGE', sales_by_start, ARGV[5], ARGV[6])) do
  local record = redis.call('HGET', sales, id)
  if record then
    reply[#reply + 1] = record
    reply[#reply + 1] = count_items(items_by_sale, id)
  end
end
return reply
