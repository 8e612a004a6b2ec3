-- Reads the items of one sale.
-- KEYS  1 revision  2 items by sale  3 items
-- ARGV  5 the sale's id
-- Replies
--   {'items', records…}  {'unlisted'} the lists are not made yet
local revision, items_by_sale, items = KEYS[1], KEYS[2], KEYS[3]
local sale = ARGV[5]

if redis.call('EXISTS', revision) == 0 then return {'unlisted'} end
local reply = {'items'}
for _, place in ipairs(redis.call('ZRANGEBYLEX', items_by_sale, '[' .. sale .. '/', '(' .. sale .. '0')) do
  local record = redis.call('HGET', items, string.sub(place, #sale + 2))
  if record then reply[#reply + 1] = record end
end
return reply
