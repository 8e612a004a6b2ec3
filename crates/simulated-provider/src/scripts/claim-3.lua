-- Hands out one webhook that is due. It is due again after LEASE_MS, in case the function that took it dies before `report`.
-- KEYS  1 payments  2 due  3 alarm
-- ARGV  5 payment, or '' for the one that waits longest
-- Replies
--   {'claimed', payment, record, now}  {'nothing'}
local payments, due, alarm = KEYS[1], KEYS[2], KEYS[3]
local payment = ARGV[5]
-- Longer than a delivery takes.
local LEASE_MS = 10000

local function longest_due()
  return redis.call('ZRANGEBYSCORE', due, '-inf', integer(now), 'LIMIT', 0, 1)[1]
end
if payment == '' then
  payment = longest_due()
elseif tonumber(redis.call('ZSCORE', due, payment) or math.huge) > now then
  payment = nil
end

local claimed = {'nothing'}
if payment then
  local record = redis.call('HGET', payments, payment)
  local before, tries, after = string.match(record or '', '^(due|.*|)(%d+)|([^|]*)$')
  if before then
    record = before .. integer(tonumber(tries) + 1) .. '|' .. after
    redis.call('HSET', payments, payment, record)
    redis.call('ZADD', due, integer(now + LEASE_MS), payment)
    claimed = {'claimed', payment, record, integer(now)}
  else
    redis.call('ZREM', due, payment)
  end
end
local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
if first then set_alarm(alarm, tonumber(first)) end
return claimed
