-- Reads the listed items and their sales, unless the caller has them: then only the revision.
-- KEYS  1 revision  2 listed items  3 items  4 sales
-- ARGV  5 the revision that the caller has, or ''
-- Replies
--   {'unchanged'}  {'changed', revision, how many items, items…, sales…} an item or a sale as its record
--   {'unlisted'} the lists are not made yet
local revision, listed_items, items, sales = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local current = redis.call('GET', revision)
if not current then return {'unlisted'} end
if current == ARGV[5] then return {'unchanged'} end
local item_ids, sale_ids, seen = {}, {}, {}
for _, place in ipairs(redis.call('SMEMBERS', listed_items)) do
  local sale, item = string.match(place, '^(.*)/(.*)$')
  item_ids[#item_ids + 1] = item
  if not seen[sale] then
    seen[sale] = true
    sale_ids[#sale_ids + 1] = sale
  end
end
local reply = {'changed', current, 0}
-- Reads pages, because a call takes a few thousand arguments at most.
local function read(documents, ids)
  for first = 1, #ids, 1000 do
    for _, record in ipairs(redis.call('HMGET', documents, unpack(ids, first, math.min(first + 999, #ids)))) do
      -- A list may name a document that Redis has lost.
      if record then reply[#reply + 1] = record end
    end
  end
end
read(items, item_ids)
reply[3] = #reply - 3
read(sales, sale_ids)
return reply
