-- Stands before the scripts that give units back to the stock, or an item back to the sale.

-- Takes back `quantity` units that `user` had by the reservation `tail`. The user may reserve again.
local function return_units(users, user, tail, quantity)
  local taken, alive = read_user(redis.call('HGET', users, user))
  if alive == tail then alive = '' end
  taken = math.max(taken - quantity, 0)
  if taken == 0 and alive == '' then
    redis.call('HDEL', users, user)
  else
    redis.call('HSET', users, user, integer(taken) .. '|' .. alive)
  end
end

-- Rings for the queue if somebody waits in it: stock came back, or the item did.
local function ring_grant(queue)
  if redis.call('EXISTS', queue) == 1 then redis.call('PUBLISH', grant_doorbell, this_lane) end
end
