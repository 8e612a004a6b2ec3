-- Removes a lane from Redis, a set time after its end, once everything is settled and copied.
-- KEYS  1 lane  2 queue  3 deadlines  4 outbox  5 changes  6 alarm  7 to 12 other keys of the lane
--       13 untold  14 the first answers of repeatable calls  15 holders  16 ended
-- Replies
--   {'purged'} also when nothing was there  {'early', purge_at}  {'unsettled'}
local lane, queue, deadlines, outbox, changes, alarm, untold =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[13]

local purge_at, refunds_due = unpack(redis.call('HMGET', lane, 'purge_at', 'refunds_due'))
if not purge_at then return {'purged'} end
purge_at, refunds_due = tonumber(purge_at), tonumber(refunds_due or 0)
if now < purge_at then return {'early', purge_at} end
if redis.call('LLEN', queue) > 0 or redis.call('ZCARD', deadlines) > 0 or redis.call('XLEN', outbox) > 0
  or redis.call('XLEN', untold) > 0 or redis.call('LLEN', changes) > 0 or refunds_due > 0 then
  arm(lane, deadlines, alarm)
  return {'unsettled'}
end
redis.call('UNLINK', unpack(KEYS))
return {'purged'}
