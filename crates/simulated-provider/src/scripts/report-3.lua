-- Records what became of a try to deliver a webhook. A failed delivery is due again, later each time, for some hours.
-- KEYS  1 payments  2 due  3 alarm
-- ARGV  5 payment  6 which try  7 'delivered', 'refused' or 'failed'  8 the shop's response, in a word or two without '|'
-- Replies
--   {'noted', record}  {'known', record} a later try is under way, or the delivery is over  {'not_found'}
local payments, due, alarm = KEYS[1], KEYS[2], KEYS[3]
local payment, try, outcome, response = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local SHORTEST_MS, LONGEST_MS, MOST_TRIES = 1000, 300000, 40

local record = redis.call('HGET', payments, payment)
if not record then return {'not_found'} end
local before, tries = string.match(record, '^due(|.*|)(%d+)|[^|]*$')
-- A delivery counts, even if a later try is under way.
if not before or (tries ~= try and outcome ~= 'delivered') then return {'known', record} end

local standing = outcome
if outcome == 'failed' then standing = tonumber(tries) < MOST_TRIES and 'due' or 'given_up' end
record = standing .. before .. tries .. '|' .. response
redis.call('HSET', payments, payment, record)
if standing == 'due' then
  local at = now + math.min(SHORTEST_MS * 2 ^ (tonumber(tries) - 1), LONGEST_MS)
  redis.call('ZADD', due, integer(at), payment)
  set_alarm(alarm, at)
else
  redis.call('ZREM', due, payment)
end
return {'noted', record}
