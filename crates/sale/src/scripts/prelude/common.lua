-- Stands before every script. Binds the arguments that all scripts begin with, and holds what most of them use. Functions
-- that only some use are in the other preludes, because each function costs a little at every run.
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

-- The alarm looks at a queue, an outbox or a rebuild that nobody has finished for this long.
local QUEUE_PATIENCE_MS, OUTBOX_PATIENCE_MS, REBUILD_PATIENCE_MS, PURGE_PATIENCE_MS = 500, 1000, 1000, 60000

-- A number as text with all its digits. Lua's `..` rounds numbers of 15 digits and more.
local function integer(number)
  return string.format('%.0f', number)
end

-- A reservation's record is state|user|quantity, and |number while it is queued. A hold has |number of its price, unless that
-- is the lane's first price, which has the number 0. The deadline of a hold is kept in `deadlines` only: Redis keeps a record
-- of 30 bytes in half the memory of 31.
local function read_reservation(record)
  local state, user, quantity, number = string.match(record, '^([^|]*)|([^|]*)|(%d+)|?(%d*)$')
  return state, user, tonumber(quantity), tonumber(number) or 0
end

local function reservation_record(state, user, quantity, number)
  return state .. '|' .. user .. '|' .. integer(quantity) .. (number and '|' .. integer(number) or '')
end

-- The moment at which the hold or the unpaid order of this tail lapses; 0 if the tail has neither.
local function deadline_of(deadlines, tail)
  return tonumber(redis.call('ZSCORE', deadlines, tail) or 0)
end

-- A user's record is taken|alive: the units that count against the cap, and the tail of the reservation that is alive.
-- `alive` is empty if there is none.
local function read_user(record)
  if not record then return 0, '' end
  local taken, alive = string.match(record, '^(%d+)|(.*)$')
  return tonumber(taken), alive
end

-- Lets the alarm lapse at that moment. An earlier alarm stays: the worker that hears it looks again.
-- The key's own time to live says when it lapses. A note beside the key would outlive a key that was lost.
local function set_alarm(alarm, at)
  at = math.max(at, now + 10)
  local left = redis.call('PTTL', alarm)
  if left < 0 or now + left > at then redis.call('SET', alarm, '', 'PX', integer(at - now)) end
end

-- Whether the lane is paused and past its end. Then its queue is decided, because no resuming can.
local function is_over_in_pause(switch, ends_at)
  return switch == 'paused' and now >= tonumber(ends_at)
end

-- Sets the alarm to the next moment at which the lane has work.
local function arm(lane, deadlines, alarm)
  local purge_at, waiting_since, outbox_since, switch, ends_at =
    unpack(redis.call('HMGET', lane, 'purge_at', 'waiting_since', 'outbox_since', 'switch', 'ends_at'))
  local at = tonumber(purge_at)
  -- The purge was due, and something is not settled yet: look again later.
  if at <= now then at = now + PURGE_PATIENCE_MS end
  local first = redis.call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')[2]
  if first then at = math.min(at, tonumber(first)) end
  -- The queue of a paused lane is decided at the lane's end.
  if switch == 'paused' and tonumber(ends_at) > now then at = math.min(at, tonumber(ends_at)) end
  if waiting_since then at = math.min(at, tonumber(waiting_since) + QUEUE_PATIENCE_MS) end
  if outbox_since then at = math.min(at, tonumber(outbox_since) + OUTBOX_PATIENCE_MS) end
  set_alarm(alarm, at)
end

-- Adds `count` to `name` in the time series, whose points are ten seconds long. The first new point of every ten minutes adds
-- the points of more than an hour ago to points of ten minutes, and removes those of more than a day ago.
local function count_in_series(series, name, count)
  if count <= 0 then return end
  if redis.call('HINCRBY', series, integer(math.floor(now / 10000) * 10000) .. ':' .. name, count) ~= count then return end
  local period = math.floor(now / 600000) * 600000
  if redis.call('HGET', series, '@tidied') == integer(period) then return end
  local points, gone = redis.call('HGETALL', series), {}
  for at = 1, #points, 2 do
    local moment, what = string.match(points[at], '^(%d+)(:.+)$')
    moment = tonumber(moment)
    if moment and moment < period - 3600000 then
      local longer = math.floor(moment / 600000) * 600000
      local is_old = moment < period - 86400000
      if is_old or moment ~= longer then gone[#gone + 1] = points[at] end
      if not is_old and moment ~= longer then redis.call('HINCRBY', series, integer(longer) .. what, points[at + 1]) end
    end
  end
  if #gone > 0 then redis.call('HDEL', series, unpack(gone)) end
  redis.call('HSET', series, '@tidied', integer(period))
end
