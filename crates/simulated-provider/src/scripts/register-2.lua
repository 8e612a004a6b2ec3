-- Registers a payment at the simulated provider, once, and removes those whose time is over.
-- KEYS  1 payments  2 kept
-- ARGV  5 payment  6 amount  7 currency  8 the moment until which it can be paid
-- Replies
--   {'registered'} also when it was before
local payments, kept = KEYS[1], KEYS[2]
local payment, amount, currency, pay_by = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local KEEP_MS = 3 * 86400000

local over = redis.call('ZRANGEBYSCORE', kept, '-inf', integer(now), 'LIMIT', 0, 20)
if #over > 0 then
  redis.call('HDEL', payments, unpack(over))
  redis.call('ZREM', kept, unpack(over))
end
-- state|amount|currency|pay by|choice|event|tries|the shop's last response
local record = 'open|' .. amount .. '|' .. currency .. '|' .. pay_by .. '|||0|'
if redis.call('HSETNX', payments, payment, record) == 1 then
  local keep_ms = math.max(tonumber(pay_by) - now, 0) + KEEP_MS
  redis.call('ZADD', kept, integer(now + keep_ms), payment)
  -- Redis expires both keys after the last payment.
  for _, key in ipairs({payments, kept}) do
    if redis.call('PTTL', key) < keep_ms then redis.call('PEXPIRE', key, integer(keep_ms)) end
  end
end
return {'registered'}
