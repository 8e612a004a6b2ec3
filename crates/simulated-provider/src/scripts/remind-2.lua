-- Says whether webhooks of the simulated provider are due. While some are, the alarm is set again, because the function that
-- asks may fail to wake the provider.
-- KEYS  1 due  2 alarm
-- Replies
--   {'due'}  {'nothing'}
local due, alarm = KEYS[1], KEYS[2]
local PATIENCE_MS = 2000

local first = tonumber(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2])
if not first then return {'nothing'} end
if first > now then
  set_alarm(alarm, first)
  return {'nothing'}
end
set_alarm(alarm, now + PATIENCE_MS)
return {'due'}
