-- Stands before the scripts that count callers.
--
-- An allowance is kept as a token bucket. Two hashes take turns by the period, however many callers there are, and Redis
-- expires them. Two are enough: a bucket that was not used for one period is full again.
-- A bucket is one number: the moment at which it is full again. The moment is counted in parts of the period, from the
-- beginning of the period in which it was written. It has at most six digits, which fit Redis's smallest allocation.
-- Every shopper's request runs these functions, so they pass plain values and no tables, for two callers at most.
-- With a single caller, pass its name twice and 0 as the second capacity.
local PARTS = 100000
-- How long the period of a lane's callers is.
local CALLERS_MS = 10000

-- The rates of a lane as numbers, 0 for no bound: tries of a shopper and of an address in a period, polls of a shopper in a
-- period, polls a second that all pages together should stay under, and units a second.
local function read_rates(rates)
  local tries, address_tries, polls, polls_per_second, units_per_second =
    string.match(rates or '0|0|0|0|0', '^(%d+)|(%d+)|(%d+)|(%d+)|(%d+)$')
  return tonumber(tries), tonumber(address_tries), tonumber(polls), tonumber(polls_per_second), tonumber(units_per_second)
end

-- Reads two buckets. Returns the key to write to, whether that key is to begin a new period, the present moment in parts,
-- and how much the first and the second bucket owe.
local function read_buckets(even, odd, period, first, second)
  local turn = math.floor(now / period)
  local key, last = even, odd
  if turn % 2 == 1 then key, last = odd, even end
  local at = now % period * PARTS / period
  local written_turn, first_full, second_full = unpack(redis.call('HMGET', key, '@', first, second))
  local is_new = tonumber(written_turn) ~= turn
  if is_new then first_full, second_full = false, false end
  if not (first_full and second_full) then
    local last_turn, first_before, second_before = unpack(redis.call('HMGET', last, '@', first, second))
    if tonumber(last_turn) == turn - 1 then
      first_full = first_full or first_before and first_before - PARTS
      second_full = second_full or second_before and second_before - PARTS
    end
  end
  return key, is_new, at, math.max((first_full or 0) - at, 0), math.max((second_full or 0) - at, 0)
end

-- Milliseconds until a bucket that owes `owed` has a token; 0 if it has one now.
local function wait_for_token(period, capacity, owed)
  if capacity == 0 then return 0 end
  -- A fraction that comes from rounding must not add a millisecond.
  return math.max(math.ceil((owed + PARTS / capacity - PARTS) * period / PARTS - 0.000001), 0)
end

-- How much a bucket owes after it pays `cost` tokens. It may owe more than its capacity. A negative cost gives tokens back.
local function owed_after(capacity, owed, cost)
  if capacity == 0 then return 0 end
  return math.max(owed + cost * PARTS / capacity, 0)
end

-- Writes how much a bucket owes. If Redis can't write, nothing is counted, so that reading still works.
-- Where tokens are given back, `last` is the key of the period before. What it says of this bucket must not count again.
local function keep_bucket(period, key, is_new, at, name, owed, last)
  if is_new then
    redis.pcall('UNLINK', key)
    redis.pcall('HSET', key, '@', integer(math.floor(now / period)), name, integer(math.floor(at + owed)))
    redis.pcall('PEXPIRE', key, integer(2 * period))
  elseif owed > 0 or (last and redis.call('HEXISTS', last, name) == 1) then
    redis.pcall('HSET', key, name, integer(math.floor(at + owed)))
  else
    redis.pcall('HDEL', key, name)
  end
end
