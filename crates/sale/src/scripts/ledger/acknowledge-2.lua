-- Removes events from the outbox that the order database has. Removes only these; the outbox is never trimmed by length.
-- KEYS  1 lane  2 outbox
-- ARGV  5… ids
-- Replies
--   {'acknowledged', events left}
local lane, outbox = KEYS[1], KEYS[2]

local ids = {}
for at = 5, #ARGV do ids[#ids + 1] = ARGV[at] end
if redis.call('EXISTS', outbox) == 1 and #ids > 0 then
  redis.pcall('XACK', outbox, 'ledger', unpack(ids))
  redis.call('XDEL', outbox, unpack(ids))
end
local left = redis.call('XLEN', outbox)
if redis.call('EXISTS', lane) == 1 then
  if left == 0 then
    redis.call('HDEL', lane, 'outbox_since')
  else
    redis.call('HSET', lane, 'outbox_since', integer(now))
  end
end
return {'acknowledged', left}
