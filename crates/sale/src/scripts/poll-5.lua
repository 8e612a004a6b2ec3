-- Shows a shopper their reservation, and whether work of this lane has waited longer than a doorbell takes.
-- KEYS  1 lane  2 reservations  3 deadlines  4 and 5 buckets of callers
-- ARGV  5 user  6 tail  7 the shopper's bucket for polls, or '' where callers are not limited
-- Replies, each followed, where callers are limited, by limit and what is owed (in parts of the limit) of the shopper
--   {'found', state, quantity, deadline, queue overdue 0/1, deadline overdue 0/1, pace…}  with pace as reserve gives it
--   {'not_found'}  {'rate_limited', retry_after_ms}
local lane, reservations, deadlines, even, odd = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local user, tail, shopper = ARGV[5], ARGV[6], ARGV[7]

local known = redis.call('HMGET', lane, 'drained', 'waiting_since', 'switch', 'admitted', 'available', 'hold_ms', 'limits')
local polls, polls_per_second = string.match(known[7] or '0|0|0|0|0', '^%d+|%d+|(%d+)|(%d+)|%d+$')
polls, polls_per_second = tonumber(polls), tonumber(polls_per_second)
local limited, owes = shopper ~= '' and polls > 0, 0
local function answer(reply)
  if limited then reply[#reply + 1], reply[#reply + 2] = polls, math.floor(owes) end
  return reply
end
if limited then
  local key, is_new, at, owed = read_buckets(even, odd, CALLERS_MS, shopper, shopper)
  owes = owed
  local wait = wait_for_token(CALLERS_MS, polls, owes)
  if wait > 0 then return answer({'rate_limited', wait}) end
  owes = owed_after(polls, owes, 1)
  keep_bucket(CALLERS_MS, key, is_new, at, shopper, owes)
end

local record = redis.call('HGET', reservations, tail)
if not record then return answer({'not_found'}) end
local state, owner, quantity, number = read_reservation(record)
if owner ~= user then return answer({'not_found'}) end

assert(known[1], 'records without their lane')
-- The one that finds the work overdue claims it for a while, so that a crowd of pollers does not all do it.
local queue_overdue, deadline_overdue = 0, 0
if known[2] and known[3] ~= 'paused' and now - tonumber(known[2]) >= 300 then
  queue_overdue = 1
  redis.call('HSET', lane, 'waiting_since', whole(now))
end
local first = redis.call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')[2]
if first and tonumber(first) <= now then deadline_overdue = 1 end
local deadline = state == 'held' and deadline_of(deadlines, tail) or 0
local drained = tonumber(known[1])
local position = math.max(number - drained, 0)
return answer({'found', state, quantity, deadline, queue_overdue, deadline_overdue, position,
  tonumber(known[4]) - drained, polls_per_second, position <= tonumber(known[5]) and tonumber(known[6]) or 0})
