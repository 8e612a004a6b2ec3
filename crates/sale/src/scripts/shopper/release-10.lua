-- Gives back a place in the queue or a hold, for the shopper who has it.
-- KEYS  1 lane  2 reservations  3 users  4 queue  5 deadlines  6 alarm  7 series
--       8 and 9 buckets of callers  10 ended
-- ARGV  5 user  6 tail  7 the shopper's bucket
-- Replies
--   {'released'} also when it was released before  {'conflict', state}  {'not_found'} also when it ended long ago
local lane, reservations, users, queue, deadlines, alarm, series, even, odd, ended =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local user, tail, shopper = ARGV[5], ARGV[6], ARGV[7]

local record = redis.call('HGET', reservations, tail)
if not record then return {'not_found'} end
assert(redis.call('EXISTS', lane) == 1, 'records without their lane')
local state, owner, quantity = read_reservation(record)
if owner ~= user then return {'not_found'} end
if state == 'released' then return {'released'} end
if state ~= 'queued' and state ~= 'held' then return {'conflict', state} end

redis.call('HSET', reservations, tail, reservation_record('released', user, quantity))
note_ended(ended, {tail})
forget_ended(reservations, ended, 3)
return_units(users, user, tail, quantity)
if state == 'held' then
  redis.call('HINCRBY', lane, 'held', -quantity)
  redis.call('HINCRBY', lane, 'available', quantity)
  redis.call('ZREM', deadlines, tail)
  ring_grant(queue)
end
count_in_series(series, 'released', quantity)
charge_return(lane, even, odd, shopper)
arm(lane, deadlines, alarm)
return {'released'}
