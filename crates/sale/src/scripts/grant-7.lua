-- Drains a batch of the queue, in order of admission: each reservation becomes held, sold_out or, once closed, rejected.
-- KEYS  1 lane  2 reservations  3 users  4 queue  5 deadlines  6 alarm  7 series
-- ARGV  5 most reservations to decide, at most 1000
-- Replies
--   {'drained', decided, held, sold_out, rejected, still waiting}  {'paused'}  {'not_found'}
local lane, reservations, users, queue, deadlines, alarm, series =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local most = ARGV[5]

local known = redis.call('HMGET', lane, 'switch', 'available', 'hold_ms')
if not known[1] then return {'not_found'} end
if known[1] == 'paused' then
  redis.call('HDEL', lane, 'waiting_since')
  return {'paused'}
end
local closed, available = known[1] == 'closed', tonumber(known[2])
local deadline = now + tonumber(known[3])

local tails = redis.call('LRANGE', queue, 0, tonumber(most) - 1)
if #tails == 0 then
  redis.call('HDEL', lane, 'waiting_since')
  return {'drained', 0, 0, 0, 0, 0}
end

local records = redis.call('HMGET', reservations, unpack(tails))
local decided, holds, losers, losses = {}, {}, {}, {}
local held, sold_out, rejected, units = 0, 0, 0, 0
for at, tail in ipairs(tails) do
  local state, user, quantity = read_reservation(records[at])
  -- One that was given back while it waited keeps its place in the list, and is passed over here.
  if state == 'queued' then
    local outcome = 'sold_out'
    if closed then
      outcome = 'rejected'
      rejected = rejected + 1
    elseif available >= quantity then
      outcome = 'held'
      available = available - quantity
      units = units + quantity
      held = held + 1
      holds[#holds + 1] = whole(deadline)
      holds[#holds + 1] = tail
    else
      sold_out = sold_out + 1
    end
    if outcome ~= 'held' then
      losers[#losers + 1] = user
      losses[#losses + 1] = quantity
    end
    decided[#decided + 1] = tail
    decided[#decided + 1] = reservation_record(outcome, user, quantity)
  end
end

if #decided > 0 then redis.call('HSET', reservations, unpack(decided)) end
if #losers > 0 then
  -- What return_units does, for many at once. A shopper has one reservation alive, so each is here once, and what
  -- was alive is what was lost.
  local gone, kept = {}, {}
  for at, record in ipairs(redis.call('HMGET', users, unpack(losers))) do
    local taken = read_user(record) - losses[at]
    if taken > 0 then
      kept[#kept + 1] = losers[at]
      kept[#kept + 1] = whole(taken) .. '|'
    else
      gone[#gone + 1] = losers[at]
    end
  end
  if #gone > 0 then redis.call('HDEL', users, unpack(gone)) end
  if #kept > 0 then redis.call('HSET', users, unpack(kept)) end
end
if #holds > 0 then redis.call('ZADD', deadlines, unpack(holds)) end
redis.call('LTRIM', queue, #tails, -1)
redis.call('HINCRBY', lane, 'drained', #tails)
redis.call('HSET', lane, 'available', whole(available))
redis.call('HINCRBY', lane, 'held', units)
count_in_series(series, 'admitted', #tails)
count_in_series(series, 'held', units)
count_in_series(series, 'sold_out', sold_out)
count_in_series(series, 'rejected', rejected)
local waiting = redis.call('LLEN', queue)
if waiting > 0 then
  redis.call('HSET', lane, 'waiting_since', whole(now))
else
  redis.call('HDEL', lane, 'waiting_since')
end
arm(lane, deadlines, alarm)
return {'drained', held + sold_out + rejected, held, sold_out, rejected, waiting}
