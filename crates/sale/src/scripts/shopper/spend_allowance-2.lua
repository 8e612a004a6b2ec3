-- Spends one token of an address outside any lane: for a session that it opens, or for a wrong operator's token.
-- KEYS  1 and 2 buckets
-- ARGV  5 bucket  6 capacity: tokens that a period brings, and that a full bucket has  7 the period in ms
-- Replies, each followed by the capacity and what is owed (in parts of it)
--   {'spent'}  {'rate_limited', retry_after_ms}
local name, capacity, period = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])

local key, is_new, at, owed = read_buckets(KEYS[1], KEYS[2], period, name, name)
local wait = wait_for_token(period, capacity, owed)
if wait > 0 then return {'rate_limited', wait, capacity, math.floor(owed)} end
owed = owed_after(capacity, owed, 1)
keep_bucket(period, key, is_new, at, name, owed)
return {'spent', capacity, math.floor(owed)}
