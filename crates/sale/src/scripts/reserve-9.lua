-- Admits a reservation to the queue, or in instant mode decides it; otherwise says why not.
-- KEYS  1 lane  2 reservations  3 users  4 queue  5 challenges of the window  6 tries of the window  7 deadlines  8 alarm  9 series
-- ARGV  5 user  6 new tail  7 quantity  8 challenge id or '' for none  9 '1' if the answer is right
--       10 how long the set of challenges is kept from its first member, ms  11 failed tries allowed in the window, 0 for any
--       12 '1' to rehearse: say what would become of a right answer, and use nothing up
-- Replies
--   {'queued', tail, quantity, position}  {'held', tail, quantity, deadline}
--   {'existing', tail, state, quantity, position, deadline}
--   {'not_found'} {'not_started', starts_at} {'ended'} {'paused'} {'sold_out', available} {'purchase_limit', limit, taken}
--   {'queue_full'} {'rate_limited', retry_after_ms} {'challenge_failed'}
--   {'clear'} of a rehearsal: it would be admitted
local lane, reservations, users, queue, challenges, tries, deadlines, alarm, series =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local user, tail, quantity, challenge, answered = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9] == '1'
local challenges_kept, tries_allowed, rehearsal = ARGV[10], tonumber(ARGV[11]), ARGV[12] == '1'

local known = redis.call('HMGET', lane, 'switch', 'starts_at', 'ends_at', 'available', 'limit', 'mode', 'queue_factor',
  'total', 'admitted', 'drained', 'hold_ms')
local switch, available, drained = known[1], tonumber(known[4]), tonumber(known[10])
if not switch then return {'not_found'} end

-- The same wish again gets the same reservation, whatever has become of the item since.
local taken, alive = read_user(redis.call('HGET', users, user))
if alive ~= '' then
  local state, _, had, number = read_reservation(redis.call('HGET', reservations, alive))
  local deadline = state == 'held' and deadline_of(deadlines, alive) or 0
  return {'existing', alive, state, had, math.max(number - drained, 0), deadline}
end

if switch == 'closed' or now >= tonumber(known[3]) then return {'ended'} end
if switch == 'paused' then return {'paused'} end
if now < tonumber(known[2]) then return {'not_started', tonumber(known[2])} end
local limit = tonumber(known[5])
if taken + quantity > limit then return {'purchase_limit', limit, taken} end
if available < quantity then
  -- A lane always has an alarm. Where it was lost, units that should be back would stay out for as long as nobody polls.
  if redis.call('EXISTS', alarm) == 0 then arm(lane, deadlines, alarm) end
  return {'sold_out', available}
end
-- Whoever is decided on the spot must not overtake those who wait since the item was in queued mode.
local waiting = tonumber(known[9]) - drained
local queued = known[6] == 'queued' or waiting > 0
if queued and waiting >= tonumber(known[7]) * tonumber(known[8]) then return {'queue_full'} end

local function failed_try()
  if redis.call('HINCRBY', tries, user, 1) == 1 then redis.call('PEXPIRE', tries, 20000) end
end

if challenge ~= '' then
  if tries_allowed > 0 and tonumber(redis.call('HGET', tries, user) or 0) >= tries_allowed then
    return {'rate_limited', 10000 - now % 10000}
  end
  if rehearsal then
    return redis.call('SISMEMBER', challenges, challenge) == 1 and {'challenge_failed'} or {'clear'}
  end
  if redis.call('SADD', challenges, challenge) == 0 then
    failed_try()
    return {'challenge_failed'}
  end
  -- A member more does not move the end of the set, so this is said once, by the first.
  if redis.call('PTTL', challenges) < 0 then redis.call('PEXPIRE', challenges, challenges_kept) end
  if not answered then
    failed_try()
    return {'challenge_failed'}
  end
end

if rehearsal then return {'clear'} end

redis.call('HSET', users, user, whole(taken + quantity) .. '|' .. tail)
local number = redis.call('HINCRBY', lane, 'admitted', 1)
if queued then
  redis.call('HSET', reservations, tail, reservation_record('queued', user, quantity, number))
  if redis.call('RPUSH', queue, tail) == 1 then
    redis.call('HSET', lane, 'waiting_since', whole(now))
    redis.call('PUBLISH', grant_doorbell, this_lane)
    arm(lane, deadlines, alarm)
  end
  return {'queued', tail, quantity, number - drained}
end

local deadline = now + tonumber(known[11])
redis.call('HSET', reservations, tail, reservation_record('held', user, quantity))
redis.call('HSET', lane, 'available', whole(available - quantity), 'drained', whole(drained + 1))
redis.call('HINCRBY', lane, 'held', quantity)
redis.call('ZADD', deadlines, whole(deadline), tail)
count_in_series(series, 'admitted', 1)
count_in_series(series, 'held', quantity)
arm(lane, deadlines, alarm)
return {'held', tail, quantity, deadline}
