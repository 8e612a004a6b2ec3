-- Records what a person chose on the simulated provider's page, once, and when the shop's webhook is due.
-- KEYS  1 payments  2 due  3 alarm
-- ARGV  5 payment  6 'succeeded', 'failed' or 'late'  7 the event's id
-- Replies
--   {'chosen', record}  {'known', record} an earlier choice stands  {'not_found'}
local payments, due, alarm = KEYS[1], KEYS[2], KEYS[3]
local payment, choice, event = ARGV[5], ARGV[6], ARGV[7]
-- The request that chooses also delivers. If it dies, the alarm wakes another after PATIENCE_MS.
local PATIENCE_MS, LATE_MS, KEEP_MS = 3000, 1000, 3 * 86400000

local record = redis.call('HGET', payments, payment)
if not record then return {'not_found'} end
local amount, currency, pay_by = string.match(record, '^open|([^|]*)|([^|]*)|([^|]*)|')
if not amount then return {'known', record} end

record = 'due|' .. amount .. '|' .. currency .. '|' .. pay_by .. '|' .. choice .. '|' .. event .. '|0|'
redis.call('HSET', payments, payment, record)
local at = now
if choice == 'late' then at = math.max(now, tonumber(pay_by) + LATE_MS) end
redis.call('ZADD', due, integer(at), payment)
if redis.call('PTTL', due) < at - now + KEEP_MS then redis.call('PEXPIRE', due, integer(at - now + KEEP_MS)) end
set_alarm(alarm, at > now and at or now + PATIENCE_MS)
return {'chosen', record}
