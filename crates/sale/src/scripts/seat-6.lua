-- Puts a lane that was made anew back into the sale.
-- KEYS  1 lane  2 rebuilding  3 queue  4 deadlines  5 outbox  6 alarm
-- Replies
--   {'seated', available}  {'not_found'} nothing is ready to be
local lane, rebuilding, queue, deadlines, outbox, alarm = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

local known = redis.call('HMGET', rebuilding, 'phase', 'total', 'held', 'ordered', 'sold')
if known[1] ~= 'seat' or redis.call('EXISTS', lane) == 1 then return {'not_found'} end
local available = tonumber(known[2]) - tonumber(known[3]) - tonumber(known[4]) - tonumber(known[5])
redis.call('HDEL', rebuilding, 'phase', 'cursor')
redis.call('HSET', rebuilding, 'available', whole(available))
redis.call('RENAME', rebuilding, lane)
if redis.call('EXISTS', queue) == 1 then redis.call('HSET', lane, 'waiting_since', whole(now)) end
if redis.call('XLEN', outbox) > 0 then
  redis.call('HSET', lane, 'outbox_since', whole(now))
  redis.call('PUBLISH', ledger_doorbell, this_lane)
end
ring_grant(queue)
arm(lane, deadlines, alarm)
return {'seated', available}
