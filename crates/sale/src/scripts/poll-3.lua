-- Shows a shopper their reservation, and whether work of this lane has waited longer than a doorbell takes.
-- KEYS  1 lane  2 reservations  3 deadlines
-- ARGV  5 user  6 tail
-- Replies
--   {'found', state, quantity, position, deadline, queue overdue 0/1, deadline overdue 0/1}  {'not_found'}
local lane, reservations, deadlines = KEYS[1], KEYS[2], KEYS[3]
local user, tail = ARGV[5], ARGV[6]

local record = redis.call('HGET', reservations, tail)
if not record then return {'not_found'} end
local state, owner, quantity, number = read_reservation(record)
if owner ~= user then return {'not_found'} end

local known = redis.call('HMGET', lane, 'drained', 'waiting_since', 'switch')
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
return {'found', state, quantity, math.max(number - tonumber(known[1]), 0), deadline, queue_overdue, deadline_overdue}
