-- Takes a token of a caller's bucket outside any lane: a session that an address opens, a wrong operator's token.
-- KEYS  1 and 2 buckets
-- ARGV  5 bucket  6 tokens of a full one, which it gets in a period  7 the period in ms
-- Replies, each followed by the limit and what is owed (in parts of it)
--   {'taken'}  {'rate_limited', retry_after_ms}
local name, limit, period = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])

local key, is_new, at, owed = read_buckets(KEYS[1], KEYS[2], period, name, name)
local wait = wait_for_token(period, limit, owed)
if wait > 0 then return {'rate_limited', wait, limit, math.floor(owed)} end
owed = owed_after(limit, owed, 1)
keep_bucket(period, key, is_new, at, name, owed)
return {'taken', limit, math.floor(owed)}
