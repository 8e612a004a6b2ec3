-- Counts a challenge that a shopper asks for as a try of the shopper and of the address.
-- KEYS  1 lane  2 and 3 buckets of callers
-- ARGV  5 the shopper's bucket  6 the address's bucket
-- Replies, the last two followed, if the lane counts callers, by capacity and what is owed (in parts of it) of shopper and
-- address
--   {'not_found'}  {'counted', waiting, total}  {'rate_limited', retry_after_ms}
local lane, even, odd = KEYS[1], KEYS[2], KEYS[3]
local shopper, address = ARGV[5], ARGV[6]

local switch, rates, admitted, drained, total =
  unpack(redis.call('HMGET', lane, 'switch', 'rates', 'admitted', 'drained', 'total'))
if not switch then return {'not_found'} end
local waiting = admitted - drained
total = tonumber(total)
local tries, address_tries = read_rates(rates)
if tries + address_tries == 0 then return {'counted', waiting, total} end

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
return {'counted', waiting, total, tries, math.floor(shopper_owes), address_tries, math.floor(address_owes)}
