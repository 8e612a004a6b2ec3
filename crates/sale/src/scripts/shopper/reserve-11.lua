-- Admits a wish to the queue, or decides it at once in instant mode, or says why not.
-- KEYS  1 lane  2 reservations  3 users  4 queue  5 challenges of the window  6 deadlines  7 alarm  8 series
--       9 and 10 buckets of callers  11 holders
-- ARGV  5 user  6 new tail  7 quantity  8 challenge id or '' for none  9 '1' if the solution is right
--       10 milliseconds to keep the set of challenges from its first member on
--       11 the shopper's bucket, or '' if callers are not counted  12 the address's bucket
--       13 '1' to rehearse: say what would become of a right solution, and spend nothing but a try on a refusal
-- Replies, each followed, if callers are counted, by capacity and what is owed (in parts of it) of shopper and address
--   {'queued', tail, quantity, pace…}  {'held', tail, quantity, deadline}
--   {'existing', tail, state, quantity, deadline, pace…}
--   with pace: position, waiting, polls a second that all pages together should stay under, polls of this shopper in ten
--   seconds, how long a hold lasts or 0 if there is no unit for this position
--   {'not_found'} {'not_started', starts_at} {'ended'} {'paused'} {'sold_out', available} {'purchase_limit', cap, taken}
--   {'queue_full'} {'rate_limited', retry_after_ms} {'challenge_failed'}
--   {'clear'} of a rehearsal: it would be admitted
local lane, reservations, users, queue, challenges, deadlines, alarm, series, even, odd, holders =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local user, tail, quantity, challenge, solved = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9] == '1'
local challenges_kept, shopper, address, rehearsal = ARGV[10], ARGV[11], ARGV[12], ARGV[13] == '1'

local switch, starts_at, ends_at, available, cap, mode, queue_factor, total, admitted, drained, hold_ms, rates, units_until =
  unpack(redis.call('HMGET', lane, 'switch', 'starts_at', 'ends_at', 'available', 'cap', 'mode', 'queue_factor',
    'total', 'admitted', 'drained', 'hold_ms', 'rates', 'units_until'))
if not switch then return {'not_found'} end
available, drained, hold_ms = tonumber(available), tonumber(drained), tonumber(hold_ms)
local waiting = tonumber(admitted) - drained
local tries, address_tries, polls, polls_per_second, units_per_second = read_rates(rates)
if shopper == '' then polls = 0 end
local counted = shopper ~= '' and tries + address_tries > 0
local key, is_new, at, shopper_owes, address_owes
if counted then key, is_new, at, shopper_owes, address_owes = read_buckets(even, odd, CALLERS_MS, shopper, address) end

-- Ends every reply. Shopper and address pay this many tries, or nothing if none is given. A negative price gives back only
-- what was charged before.
local function with_allowances(reply, shopper_pays, address_pays)
  if not counted then return reply end
  if shopper_pays and tries > 0 and (shopper_pays > 0 or shopper_owes > 0) then
    shopper_owes = owed_after(tries, shopper_owes, shopper_pays)
    keep_bucket(CALLERS_MS, key, is_new, at, shopper, shopper_owes, key == even and odd or even)
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

-- A repeated wish gets the reservation that is alive. It is free, and the item's state does not matter.
local taken, alive = read_user(redis.call('HGET', users, user))
if alive ~= '' then
  local state, _, had, number = read_reservation(redis.call('HGET', reservations, alive))
  local deadline = state == 'held' and deadline_of(deadlines, alive) or 0
  local position = state == 'queued' and math.max(number - drained, 0) or 0
  return with_allowances({'existing', alive, state, had, deadline, position, waiting, polls_per_second, polls,
    position <= available and hold_ms or 0})
end

-- Refuse a caller without a token before everything else, so that their challenge stays good. All others pay for their
-- solution, right or wrong. An admission gives the shopper back the try that the challenge cost.
if counted then
  local wait = math.max(wait_for_token(CALLERS_MS, tries, shopper_owes), wait_for_token(CALLERS_MS, address_tries, address_owes))
  if wait > 0 then return with_allowances({'rate_limited', wait}) end
end

if switch == 'closed' or now >= tonumber(ends_at) then return with_allowances({'ended'}, 1, 1) end
if switch == 'paused' then return with_allowances({'paused'}, 1, 1) end
starts_at = tonumber(starts_at)
if now < starts_at then return with_allowances({'not_started', starts_at}, 1, 1) end
cap = tonumber(cap)
if taken + quantity > cap then return with_allowances({'purchase_limit', cap, taken}, 1, 1) end
if available < quantity then
  -- A lane always has an alarm. If Redis lost it, lapsed units would return only when somebody polls: set it again.
  if redis.call('EXISTS', alarm) == 0 then arm(lane, deadlines, alarm) end
  return with_allowances({'sold_out', available}, 1, 1)
end
-- In instant mode too, a wish queues behind shoppers who wait since the item was in queued mode.
local queued = mode == 'queued' or waiting > 0
if queued and waiting >= tonumber(queue_factor) * tonumber(total) then return with_allowances({'queue_full'}, 1, 1) end

-- The item's admission rate is a bucket with the units of one second. A larger wish may overdraw it when it is full.
units_until = math.max(tonumber(units_until or 0), now)
if units_per_second > 0 then
  local needed = quantity * 1000 / units_per_second
  local wait = math.ceil(units_until + needed - now - math.max(needed, 1000) - 0.000001)
  if wait > 0 then return with_allowances({'rate_limited', wait}, 1, 1) end
  units_until = units_until + needed
end

if rehearsal then
  -- A rehearsal counts no try for a used challenge. The reservation that follows rejects it and counts the tries.
  local used = challenge ~= '' and redis.call('SISMEMBER', challenges, challenge) == 1
  return with_allowances({used and 'challenge_failed' or 'clear'})
end
if challenge ~= '' then
  if redis.call('SADD', challenges, challenge) == 0 then return with_allowances({'challenge_failed'}, 3, 3) end
  -- Only the first member sets the expiry; later members must not extend it.
  if redis.call('PTTL', challenges) < 0 then redis.call('PEXPIRE', challenges, challenges_kept) end
  if not solved then return with_allowances({'challenge_failed'}, 3, 3) end
end

if units_per_second > 0 then redis.call('HSET', lane, 'units_until', string.format('%.3f', units_until)) end
redis.call('HSET', users, user, integer(taken + quantity) .. '|' .. tail)
local number = redis.call('HINCRBY', lane, 'admitted', 1)
if queued then
  redis.call('HSET', reservations, tail, reservation_record('queued', user, quantity, number))
  if redis.call('RPUSH', queue, tail) == 1 then
    redis.call('HSET', lane, 'waiting_since', integer(now))
    redis.call('PUBLISH', grant_doorbell, this_lane)
    arm(lane, deadlines, alarm)
  end
  local position = number - drained
  return with_allowances({'queued', tail, quantity, position, position, polls_per_second, polls,
    position <= available and hold_ms or 0}, -1, 1)
end

local deadline = now + hold_ms
redis.call('HSET', reservations, tail, reservation_record('held', user, quantity,
  tonumber(redis.call('HGET', lane, 'price_number'))))
redis.call('HSET', lane, 'available', integer(available - quantity), 'drained', integer(drained + 1))
redis.call('HINCRBY', lane, 'held', quantity)
redis.call('ZADD', deadlines, integer(deadline), tail)
note_holders(lane, holders, {user})
count_in_series(series, 'admitted', 1)
count_in_series(series, 'held', quantity)
arm(lane, deadlines, alarm)
return with_allowances({'held', tail, quantity, deadline}, -1, 1)
