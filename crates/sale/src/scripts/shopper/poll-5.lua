-- Shows a shopper their reservation, and says whether the lane has overdue work.
-- KEYS  1 lane  2 reservations  3 deadlines  4 and 5 buckets of callers
-- ARGV  5 user  6 tail  7 the shopper's bucket for polls, or '' if callers are not counted
-- Replies, each followed, if callers are counted, by capacity and what is owed (in parts of it) of the shopper
--   {'found', state, quantity, deadline, queue overdue 0/1, deadline overdue 0/1, pace…}  with pace as reserve gives it
--   {'not_found'}  {'rate_limited', retry_after_ms}
local lane, reservations, deadlines, even, odd = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local user, tail, shopper = ARGV[5], ARGV[6], ARGV[7]

local drained, waiting_since, switch, admitted, available, hold_ms, rates, ends_at = unpack(redis.call('HMGET', lane, 'drained',
  'waiting_since', 'switch', 'admitted', 'available', 'hold_ms', 'rates', 'ends_at'))
local _, _, polls, polls_per_second = read_rates(rates)
local counted, owed = shopper ~= '' and polls > 0, 0
local function with_allowance(reply)
  if counted then reply[#reply + 1], reply[#reply + 2] = polls, math.floor(owed) end
  return reply
end
if counted then
  local key, is_new, at, owed_before = read_buckets(even, odd, CALLERS_MS, shopper, shopper)
  owed = owed_before
  local wait = wait_for_token(CALLERS_MS, polls, owed)
  if wait > 0 then return with_allowance({'rate_limited', wait}) end
  owed = owed_after(polls, owed, 1)
  keep_bucket(CALLERS_MS, key, is_new, at, shopper, owed)
end

local record = redis.call('HGET', reservations, tail)
if not record then return with_allowance({'not_found'}) end
local state, owner, quantity, number = read_reservation(record)
if owner ~= user then return with_allowance({'not_found'}) end

assert(drained, 'records without their lane')
drained = tonumber(drained)
-- The first poll that finds the queue overdue gets the work, and the clock begins again. Otherwise every poll of a crowd
-- would do the same work.
local queue_overdue, deadline_overdue = 0, 0
local over = is_over_in_pause(switch, ends_at)
-- A pause has stopped the clock. If the item ends in it, the first poll after the end gets the work.
if over and state == 'queued' and not waiting_since then waiting_since = 0 end
if waiting_since and (switch ~= 'paused' or over) and now - tonumber(waiting_since) >= 300 then
  queue_overdue = 1
  redis.call('HSET', lane, 'waiting_since', integer(now))
end
local first = redis.call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')[2]
if first and tonumber(first) <= now then deadline_overdue = 1 end
local deadline = state == 'held' and deadline_of(deadlines, tail) or 0
local position = state == 'queued' and math.max(number - drained, 0) or 0
return with_allowance({'found', state, quantity, deadline, queue_overdue, deadline_overdue, position,
  tonumber(admitted) - drained, polls_per_second, counted and polls or 0,
  position <= tonumber(available) and tonumber(hold_ms) or 0})
