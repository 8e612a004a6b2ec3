-- Counts a challenge that a shopper asks for, against what shopper and address may try.
-- KEYS  1 lane  2 and 3 buckets of callers
-- ARGV  5 the shopper's bucket  6 the address's bucket
-- Replies, the last two followed, where the lane limits them, by limit and what is owed (in parts of the limit) of shopper
-- and address
--   {'not_found'}  {'counted', waiting, total}  {'rate_limited', retry_after_ms}
local lane, even, odd = KEYS[1], KEYS[2], KEYS[3]
local shopper, address = ARGV[5], ARGV[6]

local known = redis.call('HMGET', lane, 'switch', 'limits', 'admitted', 'drained', 'total')
if not known[1] then return {'not_found'} end
local busy = {'counted', known[3] - known[4], tonumber(known[5])}
local tries, address_tries = string.match(known[2] or '0|0|', '^(%d+)|(%d+)|')
tries, address_tries = tonumber(tries), tonumber(address_tries)
if tries + address_tries == 0 then return busy end

local key, is_new, at, shopper_owes, address_owes = read_buckets(even, odd, CALLERS_MS, shopper, address)
local wait = math.max(wait_for_token(CALLERS_MS, tries, shopper_owes), wait_for_token(CALLERS_MS, address_tries, address_owes))
if wait > 0 then
  return {'rate_limited', wait, tries, math.floor(shopper_owes), address_tries, math.floor(address_owes)}
end
shopper_owes, address_owes = owed_after(tries, shopper_owes, 1), owed_after(address_tries, address_owes, 1)
if tries > 0 then
  keep_bucket(CALLERS_MS, key, is_new, at, shopper, shopper_owes)
  is_new = false
end
if address_tries > 0 then keep_bucket(CALLERS_MS, key, is_new, at, address, address_owes) end
return {busy[1], busy[2], busy[3], tries, math.floor(shopper_owes), address_tries, math.floor(address_owes)}
