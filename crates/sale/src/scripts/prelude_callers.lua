-- Put before the scripts that limit callers.
--
-- Token buckets in two hashes that take turns by the period, since what a bucket owes is forgotten when it would be full
-- again anyway: two keys however many callers, and they leave by themselves. A bucket is one number, the moment at which
-- it is full again, in parts of the period from the beginning of the period in which it was written: at most six digits,
-- which Redis keeps in its smallest allocation.
-- These are on the path of every shopper. So what they say goes through plain values, no tables, and for two callers at
-- most; where there is one, the other's name is its own again and its limit 0.
local PARTS = 100000
-- How long the period of a lane's callers is.
local CALLERS_MS = 10000

-- What two buckets owe. Replies key and whether it is a new one, the moment in parts, what the first owes and the second.
local function read_buckets(even, odd, period, first, second)
  local turn = math.floor(now / period)
  local key, last = even, odd
  if turn % 2 == 1 then key, last = odd, even end
  local at = now % period * PARTS / period
  local known = redis.call('HMGET', key, '@', first, second)
  local is_new = tonumber(known[1]) ~= turn
  local full, full_too = not is_new and known[2], not is_new and known[3]
  if not (full and full_too) then
    local before = redis.call('HMGET', last, '@', first, second)
    if tonumber(before[1]) == turn - 1 then
      full = full or before[2] and before[2] - PARTS
      full_too = full_too or before[3] and before[3] - PARTS
    end
  end
  return key, is_new, at, math.max((full or 0) - at, 0), math.max((full_too or 0) - at, 0)
end

-- In how many milliseconds a bucket that owes so much has a token; 0 if it has one.
local function wait_for_token(period, limit, owed)
  if limit == 0 then return 0 end
  -- Fractions that are no more than rounding make no millisecond.
  return math.max(math.ceil((owed + PARTS / limit - PARTS) * period / PARTS - 0.000001), 0)
end

-- What a bucket owes after paying `cost` tokens, more than it has if it must be; less where that is negative.
local function owed_after(limit, owed, cost)
  if limit == 0 then return 0 end
  return math.max(owed + cost * PARTS / limit, 0)
end

-- Keeps what a bucket owes. Where Redis can't write, nothing is counted, and whatever needs no write goes on.
local function keep_bucket(period, key, is_new, at, name, owed)
  if is_new then
    redis.pcall('UNLINK', key)
    redis.pcall('HSET', key, '@', whole(math.floor(now / period)), name, whole(math.floor(at + owed)))
    redis.pcall('PEXPIRE', key, whole(2 * period))
  elseif owed > 0 then
    redis.pcall('HSET', key, name, whole(math.floor(at + owed)))
  else
    redis.pcall('HDEL', key, name)
  end
end
