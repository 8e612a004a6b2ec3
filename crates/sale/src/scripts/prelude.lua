-- Put before every script. Binds the arguments that all of them begin with, and holds what most of them share. What only
-- some share stands in prelude_orders, prelude_operating and prelude_callers: each function costs its making at every run.
-- ARGV[1] the moment in milliseconds, or '' for the server's own clock
-- ARGV[2] the lane, `<item>:<lane>`, as doorbells carry it
-- ARGV[3] the channel that wakes grant
-- ARGV[4] the channel that wakes ledger
local this_lane, grant_doorbell, ledger_doorbell = ARGV[2], ARGV[3], ARGV[4]
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A queue or an outbox that nobody has emptied for this long is looked at by the alarm.
local QUEUE_PATIENCE_MS, OUTBOX_PATIENCE_MS, PURGE_PATIENCE_MS = 500, 1000, 60000

-- Whole numbers in full: `..` would round from 15 digits on.
local function whole(number)
  return string.format('%.0f', number)
end

-- A reservation's record: state|user|quantity, and while it is queued |number. Until when it is held stands in the
-- deadlines only: at most 30 bytes are kept in half the memory of 31.
local function read_reservation(record)
  local state, user, quantity, number = string.match(record, '^([^|]*)|([^|]*)|(%d+)|?(%d*)$')
  return state, user, tonumber(quantity), tonumber(number) or 0
end

local function reservation_record(state, user, quantity, number)
  return state .. '|' .. user .. '|' .. whole(quantity) .. (number and '|' .. whole(number) or '')
end

-- When the hold or the unpaid order of this tail lapses; 0 where it is neither.
local function deadline_of(deadlines, tail)
  return tonumber(redis.call('ZSCORE', deadlines, tail) or 0)
end

-- A user's record: units not yet returned|tail of the reservation that is still alive, or nothing
local function read_user(record)
  if not record then return 0, '' end
  local taken, alive = string.match(record, '^(%d+)|(.*)$')
  return tonumber(taken), alive
end

-- `quantity` units that `user` had through reservation `tail` are returned; they may try anew.
local function return_units(users, user, tail, quantity)
  local taken, alive = read_user(redis.call('HGET', users, user))
  if alive == tail then alive = '' end
  taken = math.max(taken - quantity, 0)
  if taken == 0 and alive == '' then
    redis.call('HDEL', users, user)
  else
    redis.call('HSET', users, user, whole(taken) .. '|' .. alive)
  end
end

-- Lets the alarm lapse at that moment. One that stands earlier stays: whoever hears it looks again.
-- The key itself says when that is; a note of it beside the key would outlive a key that was lost.
local function set_alarm(alarm, at)
  at = math.max(at, now + 10)
  local left = redis.call('PTTL', alarm)
  if left < 0 or now + left > at then redis.call('SET', alarm, '', 'PX', whole(at - now)) end
end

-- Points the alarm at the lane's next moment.
local function arm(lane, deadlines, alarm)
  local known = redis.call('HMGET', lane, 'purge_at', 'waiting_since', 'outbox_since')
  local at = tonumber(known[1])
  -- Past the purge's time something is still unsettled: look again in a while.
  if at <= now then at = now + PURGE_PATIENCE_MS end
  local first = redis.call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')[2]
  if first then at = math.min(at, tonumber(first)) end
  if known[2] then at = math.min(at, tonumber(known[2]) + QUEUE_PATIENCE_MS) end
  if known[3] then at = math.min(at, tonumber(known[3]) + OUTBOX_PATIENCE_MS) end
  set_alarm(alarm, at)
end

-- Rings for the queue if somebody waits in it, because stock or the item came back.
local function ring_grant(queue)
  if redis.call('EXISTS', queue) == 1 then redis.call('PUBLISH', grant_doorbell, this_lane) end
end

-- Counts `count` of `name` in the time series, in buckets of ten seconds.
local function count_in_series(series, name, count)
  if count > 0 then
    redis.call('HINCRBY', series, whole(math.floor(now / 10000) * 10000) .. ':' .. name, count)
  end
end
