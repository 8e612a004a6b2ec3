-- Counts a session that an address opens against what it may open in a minute.
-- KEYS  1 sessions of the minute
-- ARGV  5 address  6 most in a minute
-- Replies
--   {'admitted'}  {'rate_limited', retry_after_ms}
local sessions = KEYS[1]
local address, most = ARGV[5], tonumber(ARGV[6])

if tonumber(redis.call('HGET', sessions, address) or 0) >= most then return {'rate_limited', 60000 - now % 60000} end
if redis.call('HINCRBY', sessions, address, 1) == 1 and redis.call('HLEN', sessions) == 1 then
  redis.call('PEXPIRE', sessions, 120000)
end
return {'admitted'}
