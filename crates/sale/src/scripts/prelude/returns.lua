-- Stands, behind callers, before the scripts by which a shopper gives units back.

-- Charges the shopper three tries for a return. Each return leaves a record, so a shopper who reserves and returns without
-- end would fill the lane. The return itself is never refused.
local function charge_return(lane, even, odd, shopper)
  local tries = read_rates(redis.call('HGET', lane, 'rates'))
  if tries == 0 then return end
  local key, is_new, at, owed = read_buckets(even, odd, CALLERS_MS, shopper, shopper)
  keep_bucket(CALLERS_MS, key, is_new, at, shopper, owed_after(tries, owed, 3))
end
