-- Counts the holds and the queue of a lane that is being rebuilt, after its untold events. A hold ends if its units are gone,
-- or if the shopper has them by an order that was lost here. A place in the queue ends in the same way.
-- KEYS  1 rebuilding  2 reservations  3 users  4 queue  5 deadlines  6 holders  7 ended
-- ARGV  5 how many reservations to look at
-- Replies
--   {'rebuilding', phase, cursor, ended}  {'not_found'} no such phase
local rebuilding, reservations, users, queue, deadlines, holders, ended =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local most = tonumber(ARGV[5])

local phase, cursor, total, held_before, ordered, sold, cap =
  unpack(redis.call('HMGET', rebuilding, 'phase', 'cursor', 'total', 'held', 'ordered', 'sold', 'cap'))
cursor, cap = tonumber(cursor) or 0, tonumber(cap)
if phase ~= 'holds' and phase ~= 'queue' then return {'not_found'} end
local free = tonumber(total) - tonumber(held_before) - tonumber(ordered) - tonumber(sold)

local tails
if phase == 'holds' then
  tails = redis.call('ZRANGE', deadlines, cursor, cursor + most - 1)
else
  tails = redis.call('LRANGE', queue, cursor, cursor + most - 1)
end
local held, kept, winners, losers = 0, 0, {}, {}
for _, tail in ipairs(tails) do
  local record = redis.call('HGET', reservations, tail)
  local state, user, quantity
  if record then state, user, quantity = read_reservation(record) end
  kept = kept + 1
  if phase == 'holds' and state ~= 'held' then
    -- An unpaid order is counted with the orders. Nothing else may have a deadline.
    if state ~= 'ordered' then
      redis.call('ZREM', deadlines, tail)
      kept = kept - 1
    end
  elseif state == 'held' or (phase == 'queue' and state == 'queued') then
    local taken, alive = read_user(redis.call('HGET', users, user))
    local fits = alive == '' and taken + quantity <= cap
    if phase == 'holds' and fits and free >= quantity then
      held, free = held + quantity, free - quantity
      winners[#winners + 1] = user
      redis.call('HSET', users, user, integer(taken + quantity) .. '|' .. tail)
    elseif phase == 'holds' then
      redis.call('HSET', reservations, tail, reservation_record('expired', user, quantity))
      redis.call('ZREM', deadlines, tail)
      kept = kept - 1
      losers[#losers + 1] = tail
    elseif state == 'queued' and fits then
      redis.call('HSET', users, user, integer(taken + quantity) .. '|' .. tail)
    elseif state == 'queued' then
      redis.call('HSET', reservations, tail, reservation_record('rejected', user, quantity))
      losers[#losers + 1] = tail
    end
  end
end
redis.call('HINCRBY', rebuilding, 'held', integer(held))
note_holders(rebuilding, holders, winners)
note_ended(ended, losers)
cursor = cursor + kept
if #tails < most then
  phase, cursor = phase == 'holds' and 'queue' or 'finish', 0
end
redis.call('HSET', rebuilding, 'phase', phase, 'cursor', integer(cursor))
return {'rebuilding', phase, integer(cursor), #losers}
