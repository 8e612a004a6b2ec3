-- Puts a rebuilt lane back into the sale.
-- KEYS  1 lane  2 rebuilding  3 queue  4 deadlines  5 outbox  6 alarm  7 untold
-- Replies
--   {'finished', available}  {'not_found'} no rebuild is ready to finish
local lane, rebuilding, queue, deadlines, outbox, alarm, untold =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]

local phase, total, held, ordered, sold = unpack(redis.call('HMGET', rebuilding, 'phase', 'total', 'held', 'ordered', 'sold'))
if phase ~= 'finish' or redis.call('EXISTS', lane) == 1 then return {'not_found'} end
local available = tonumber(total) - tonumber(held) - tonumber(ordered) - tonumber(sold)
redis.call('HDEL', rebuilding, 'phase', 'cursor')
redis.call('HSET', rebuilding, 'available', integer(available))
redis.call('RENAME', rebuilding, lane)
if redis.call('EXISTS', queue) == 1 then redis.call('HSET', lane, 'waiting_since', integer(now)) end
-- The ledger repeats the untold events that are left.
if redis.call('XLEN', outbox) > 0 or redis.call('XLEN', untold) > 0 then
  redis.call('HSET', lane, 'outbox_since', integer(now))
  redis.call('PUBLISH', ledger_doorbell, this_lane)
else
  -- The events of the rebuild may have been copied before it was finished.
  redis.call('HDEL', lane, 'outbox_since')
end
ring_grant(queue)
arm(lane, deadlines, alarm)
return {'finished', available}
