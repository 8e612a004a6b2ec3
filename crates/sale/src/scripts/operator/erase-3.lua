-- Erases contact, address and note of orders. An empty text stays in their place: a rebuild that read the order database
-- before the erasure does not put them back.
-- KEYS  1 rebuilding  2 orders  3 details
-- ARGV  5… tails
-- Replies
--   {'erased', orders whose details were there}
local rebuilding, orders, details = KEYS[1], KEYS[2], KEYS[3]

local is_rebuilt, erased = redis.call('EXISTS', rebuilding) == 1, 0
for at = 5, #ARGV do
  local tail = ARGV[at]
  local known = redis.call('HGET', details, tail)
  if known and known ~= '' then erased = erased + 1 end
  -- A lane that was purged gets no key.
  if known or is_rebuilt or redis.call('HEXISTS', orders, tail) == 1 then redis.call('HSET', details, tail, '') end
end
return {'erased', erased}
