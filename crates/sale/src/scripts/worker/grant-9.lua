-- Decides a batch of the queue, in order of admission. Each reservation becomes held or sold_out. It becomes rejected if the
-- item is closed, or paused past its end: nothing is sold in a pause, and nobody may resume a sale that is over.
-- KEYS  1 lane  2 reservations  3 users  4 queue  5 deadlines  6 alarm  7 series  8 holders  9 ended
-- ARGV  5 how many reservations to decide at most, up to 1000
-- Replies
--   {'drained', decided, held, sold_out, rejected, still waiting}  {'paused'}  {'not_found'}
local lane, reservations, users, queue, deadlines, alarm, series, holders, ended =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local most = ARGV[5]

local switch, available, hold_ms, ends_at, price_number =
  unpack(redis.call('HMGET', lane, 'switch', 'available', 'hold_ms', 'ends_at', 'price_number'))
if not switch then return {'not_found'} end
local over = switch == 'closed' or is_over_in_pause(switch, ends_at)
if switch == 'paused' and not over then
  redis.call('HDEL', lane, 'waiting_since')
  return {'paused'}
end
available = tonumber(available)
local deadline = now + tonumber(hold_ms)

local tails = redis.call('LRANGE', queue, 0, tonumber(most) - 1)
if #tails == 0 then
  redis.call('HDEL', lane, 'waiting_since')
  return {'drained', 0, 0, 0, 0, 0}
end

local records = redis.call('HMGET', reservations, unpack(tails))
local decided, holds, winners, losers, losses, lost = {}, {}, {}, {}, {}, {}
local held, sold_out, rejected, units = 0, 0, 0, 0
for at, tail in ipairs(tails) do
  local state, user, quantity
  if records[at] then state, user, quantity = read_reservation(records[at]) end
  -- A reservation that was released while it waited is still in the list, and its record may be forgotten: skip it.
  if state == 'queued' then
    local outcome = 'sold_out'
    if over then
      outcome = 'rejected'
      rejected = rejected + 1
    elseif available >= quantity then
      outcome = 'held'
      available = available - quantity
      units = units + quantity
      held = held + 1
      holds[#holds + 1] = integer(deadline)
      holds[#holds + 1] = tail
      winners[#winners + 1] = user
    else
      sold_out = sold_out + 1
    end
    if outcome ~= 'held' then
      losers[#losers + 1] = user
      losses[#losses + 1] = quantity
      lost[#lost + 1] = tail
    end
    decided[#decided + 1] = tail
    decided[#decided + 1] = reservation_record(outcome, user, quantity, outcome == 'held' and tonumber(price_number))
  end
end

if #decided > 0 then redis.call('HSET', reservations, unpack(decided)) end
if #losers > 0 then
  -- The same as return_units, for many shoppers at once. Each shopper is here at most once, because they have one
  -- reservation alive, which is the one that lost.
  local gone, kept = {}, {}
  for at, record in ipairs(redis.call('HMGET', users, unpack(losers))) do
    local taken = read_user(record) - losses[at]
    if taken > 0 then
      kept[#kept + 1] = losers[at]
      kept[#kept + 1] = integer(taken) .. '|'
    else
      gone[#gone + 1] = losers[at]
    end
  end
  if #gone > 0 then redis.call('HDEL', users, unpack(gone)) end
  if #kept > 0 then redis.call('HSET', users, unpack(kept)) end
end
if #holds > 0 then redis.call('ZADD', deadlines, unpack(holds)) end
note_holders(lane, holders, winners)
note_ended(ended, lost)
forget_ended(reservations, ended, 2 * #lost + 1)
redis.call('LTRIM', queue, #tails, -1)
redis.call('HINCRBY', lane, 'drained', #tails)
redis.call('HSET', lane, 'available', integer(available))
redis.call('HINCRBY', lane, 'held', units)
count_in_series(series, 'admitted', #tails)
count_in_series(series, 'held', units)
count_in_series(series, 'sold_out', sold_out)
count_in_series(series, 'rejected', rejected)
local waiting = redis.call('LLEN', queue)
if waiting > 0 then
  redis.call('HSET', lane, 'waiting_since', integer(now))
else
  redis.call('HDEL', lane, 'waiting_since')
end
arm(lane, deadlines, alarm)
return {'drained', held + sold_out + rejected, held, sold_out, rejected, waiting}
