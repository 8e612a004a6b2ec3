-- Says whether a lane is there, and how far it is.
-- KEYS  1 lane  2 rebuilding  3 untold
-- Replies
--   {'position', number of the last event or -1, being rebuilt 0/1, untold events}
local lane, rebuilding, untold = KEYS[1], KEYS[2], KEYS[3]

local seq = redis.call('HGET', lane, 'outbox_seq')
return {'position', tonumber(seq or -1), redis.call('EXISTS', rebuilding), redis.call('XLEN', untold)}
