-- Counts the holds and the queue of a lane that is being made anew, once what was untold is told. A hold whose units are gone, or whose shopper has them
-- by an order that was lost here, ends; so does such a place in the queue.
-- KEYS  1 rebuilding  2 reservations  3 users  4 queue  5 deadlines
-- ARGV  5 most reservations to look at
-- Replies
--   {'rebuilding', phase, cursor, ended}  {'not_found'} no such phase
local rebuilding, reservations, users, queue, deadlines = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local most = tonumber(ARGV[5])

local known = redis.call('HMGET', rebuilding, 'phase', 'cursor', 'total', 'held', 'ordered', 'sold', 'limit')
local phase, cursor, limit = known[1], tonumber(known[2]) or 0, tonumber(known[7])
-- The cursor of orders is a tail, which may look like a number.
if phase == 'untold' then phase, cursor = 'holds', 0 end
if phase ~= 'holds' and phase ~= 'queue' then return {'not_found'} end
local free = tonumber(known[3]) - tonumber(known[4]) - tonumber(known[5]) - tonumber(known[6])

local tails
if phase == 'holds' then
  tails = redis.call('ZRANGE', deadlines, cursor, cursor + most - 1)
else
  tails = redis.call('LRANGE', queue, cursor, cursor + most - 1)
end
local held, ended, kept = 0, 0, 0
for _, tail in ipairs(tails) do
  local record = redis.call('HGET', reservations, tail)
  local state, user, quantity
  if record then state, user, quantity = read_reservation(record) end
  kept = kept + 1
  if phase == 'holds' and state ~= 'held' then
    -- An unpaid order was counted with the orders. Anything else has no deadline.
    if state ~= 'ordered' then
      redis.call('ZREM', deadlines, tail)
      kept = kept - 1
    end
  elseif state == 'held' or (phase == 'queue' and state == 'queued') then
    local taken, alive = read_user(redis.call('HGET', users, user))
    local fits = alive == '' and taken + quantity <= limit
    if phase == 'holds' and fits and free >= quantity then
      held, free = held + quantity, free - quantity
      redis.call('HSET', users, user, whole(taken + quantity) .. '|' .. tail)
    elseif phase == 'holds' then
      redis.call('HSET', reservations, tail, reservation_record('expired', user, quantity))
      redis.call('ZREM', deadlines, tail)
      kept, ended = kept - 1, ended + 1
    elseif state == 'queued' and fits then
      redis.call('HSET', users, user, whole(taken + quantity) .. '|' .. tail)
    elseif state == 'queued' then
      redis.call('HSET', reservations, tail, reservation_record('rejected', user, quantity))
      ended = ended + 1
    end
  end
end
redis.call('HINCRBY', rebuilding, 'held', whole(held))
cursor = cursor + kept
if #tails < most then
  phase, cursor = phase == 'holds' and 'queue' or 'seat', 0
end
redis.call('HSET', rebuilding, 'phase', phase, 'cursor', whole(cursor))
return {'rebuilding', phase, whole(cursor), ended}
