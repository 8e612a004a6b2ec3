-- Admits a reservation to the queue, or in instant mode decides it; otherwise says why not.
-- KEYS  1 lane  2 reservations  3 users  4 queue  5 challenges of the window  6 deadlines  7 alarm  8 series
--       9 and 10 buckets of callers
-- ARGV  5 user  6 new tail  7 quantity  8 challenge id or '' for none  9 '1' if the answer is right
--       10 how long the set of challenges is kept from its first member, ms
--       11 the shopper's bucket, or '' where callers are not limited  12 the address's bucket
--       13 '1' to rehearse: say what would become of a right answer, and use nothing up but a try where that is a refusal
-- Replies, each followed, where callers are limited, by limit and what is owed (in parts of the limit) of shopper and address
--   {'queued', tail, quantity, pace…}  {'held', tail, quantity, deadline}
--   {'existing', tail, state, quantity, deadline, pace…}
--   with pace: position, waiting, polls a second that the lane should stay under, how long a hold lasts or 0 where there
--   is no unit for this place
--   {'not_found'} {'not_started', starts_at} {'ended'} {'paused'} {'sold_out', available} {'purchase_limit', limit, taken}
--   {'queue_full'} {'rate_limited', retry_after_ms} {'challenge_failed'}
--   {'clear'} of a rehearsal: it would be admitted
local lane, reservations, users, queue, challenges, deadlines, alarm, series, even, odd =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local user, tail, quantity, challenge, answered = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9] == '1'
local challenges_kept, shopper, address, rehearsal = ARGV[10], ARGV[11], ARGV[12], ARGV[13] == '1'

local known = redis.call('HMGET', lane, 'switch', 'starts_at', 'ends_at', 'available', 'limit', 'mode', 'queue_factor',
  'total', 'admitted', 'drained', 'hold_ms', 'limits', 'units_until')
local switch, available, drained = known[1], tonumber(known[4]), tonumber(known[10])
if not switch then return {'not_found'} end
local waiting, hold_ms = tonumber(known[9]) - drained, tonumber(known[11])
local tries, address_tries, polls_per_second, units_per_second =
  string.match(known[12] or '0|0|0|0|0', '^(%d+)|(%d+)|%d+|(%d+)|(%d+)$')
tries, address_tries, polls_per_second, units_per_second =
  tonumber(tries), tonumber(address_tries), tonumber(polls_per_second), tonumber(units_per_second)
local limited = shopper ~= '' and tries + address_tries > 0
local key, is_new, at, shopper_owes, address_owes
if limited then key, is_new, at, shopper_owes, address_owes = read_buckets(even, odd, CALLERS_MS, shopper, address) end

-- Ends every reply. A try is paid for unless it costs nothing; only one that was charged before gives something back.
local function answer(reply, shopper_pays, address_pays)
  if not limited then return reply end
  if shopper_pays and tries > 0 and (shopper_pays > 0 or shopper_owes > 0) then
    shopper_owes = owed_after(tries, shopper_owes, shopper_pays)
    keep_bucket(CALLERS_MS, key, is_new, at, shopper, shopper_owes)
    is_new = false
  end
  if address_pays and address_tries > 0 then
    address_owes = owed_after(address_tries, address_owes, address_pays)
    keep_bucket(CALLERS_MS, key, is_new, at, address, address_owes)
  end
  local count = #reply
  reply[count + 1], reply[count + 2], reply[count + 3], reply[count + 4] =
    tries, math.floor(shopper_owes), address_tries, math.floor(address_owes)
  return reply
end

-- The same wish again gets the same reservation, whatever has become of the item since, and costs nothing.
local taken, alive = read_user(redis.call('HGET', users, user))
if alive ~= '' then
  local state, _, had, number = read_reservation(redis.call('HGET', reservations, alive))
  local deadline = state == 'held' and deadline_of(deadlines, alive) or 0
  local position = math.max(number - drained, 0)
  return answer({'existing', alive, state, had, deadline, position, waiting, polls_per_second,
    position <= available and hold_ms or 0})
end

-- Who may not try is told so before the rest, and the challenge stays good. All others pay for the answer, whatever it
-- is; only for an admission the shopper gets the challenge's token back.
if limited then
  local wait = math.max(wait_for_token(CALLERS_MS, tries, shopper_owes), wait_for_token(CALLERS_MS, address_tries, address_owes))
  if wait > 0 then return answer({'rate_limited', wait}) end
end

if switch == 'closed' or now >= tonumber(known[3]) then return answer({'ended'}, 1, 1) end
if switch == 'paused' then return answer({'paused'}, 1, 1) end
if now < tonumber(known[2]) then return answer({'not_started', tonumber(known[2])}, 1, 1) end
local limit = tonumber(known[5])
if taken + quantity > limit then return answer({'purchase_limit', limit, taken}, 1, 1) end
if available < quantity then
  -- A lane always has an alarm. Where it was lost, units that should be back would stay out for as long as nobody polls.
  if redis.call('EXISTS', alarm) == 0 then arm(lane, deadlines, alarm) end
  return answer({'sold_out', available}, 1, 1)
end
-- Whoever is decided on the spot must not overtake those who wait since the item was in queued mode.
local queued = known[6] == 'queued' or waiting > 0
if queued and waiting >= tonumber(known[7]) * tonumber(known[8]) then return answer({'queue_full'}, 1, 1) end

-- The item's admission rate: a bucket with the units of one second, which a larger wish may overdraw when it is full.
local units_until = math.max(tonumber(known[13] or 0), now)
if units_per_second > 0 then
  local needed = quantity * 1000 / units_per_second
  local wait = math.ceil(units_until + needed - now - math.max(needed, 1000) - 0.000001)
  if wait > 0 then return answer({'rate_limited', wait}, 1, 1) end
  units_until = units_until + needed
end

if rehearsal then
  -- Whoever rehearses a used challenge is told by the reservation itself, which also counts it.
  local used = challenge ~= '' and redis.call('SISMEMBER', challenges, challenge) == 1
  return answer({used and 'challenge_failed' or 'clear'})
end
if challenge ~= '' then
  if redis.call('SADD', challenges, challenge) == 0 then return answer({'challenge_failed'}, 3, 3) end
  -- A member more does not move the end of the set, so this is said once, by the first.
  if redis.call('PTTL', challenges) < 0 then redis.call('PEXPIRE', challenges, challenges_kept) end
  if not answered then return answer({'challenge_failed'}, 3, 3) end
end

if units_per_second > 0 then redis.call('HSET', lane, 'units_until', string.format('%.3f', units_until)) end
redis.call('HSET', users, user, whole(taken + quantity) .. '|' .. tail)
local number = redis.call('HINCRBY', lane, 'admitted', 1)
if queued then
  redis.call('HSET', reservations, tail, reservation_record('queued', user, quantity, number))
  if redis.call('RPUSH', queue, tail) == 1 then
    redis.call('HSET', lane, 'waiting_since', whole(now))
    redis.call('PUBLISH', grant_doorbell, this_lane)
    arm(lane, deadlines, alarm)
  end
  local position = number - drained
  return answer({'queued', tail, quantity, position, position, polls_per_second,
    position <= available and hold_ms or 0}, -1, 1)
end

local deadline = now + hold_ms
redis.call('HSET', reservations, tail, reservation_record('held', user, quantity))
redis.call('HSET', lane, 'available', whole(available - quantity), 'drained', whole(drained + 1))
redis.call('HINCRBY', lane, 'held', quantity)
redis.call('ZADD', deadlines, whole(deadline), tail)
count_in_series(series, 'admitted', 1)
count_in_series(series, 'held', quantity)
arm(lane, deadlines, alarm)
return answer({'held', tail, quantity, deadline}, -1, 1)
