-- Cancels an unpaid order; its units return to stock.
-- KEYS  1 lane  2 users  3 queue  4 orders  5 deadlines  6 outbox  7 alarm  8 series
--       9 and 10 buckets of callers
-- ARGV  5 user  6 tail  7 the shopper's bucket
-- Replies
--   {'cancelled', order…} also when it was cancelled before  {'conflict', state}  {'not_found'}
local lane, users, queue, orders, deadlines, outbox, alarm, series, even, odd =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local user, tail, shopper = ARGV[5], ARGV[6], ARGV[7]

local record = redis.call('HGET', orders, tail)
if not record then return {'not_found'} end
assert(redis.call('EXISTS', lane) == 1, 'records without their lane')
local order = read_order(record)
if order.user ~= user then return {'not_found'} end
if order.state == 'cancelled' then return order_reply('cancelled', order) end
if order.state ~= 'unpaid' then return {'conflict', order.state} end

order.state = 'cancelled'
write_order(orders, tail, order)
redis.call('HINCRBY', lane, 'ordered', -order.quantity)
redis.call('HINCRBY', lane, 'available', order.quantity)
redis.call('ZREM', deadlines, tail)
return_units(users, user, tail, order.quantity)
append_event(lane, outbox, 'order.cancelled', tail, order)
count_in_series(series, 'cancelled', order.quantity)
charge_return(lane, even, odd, shopper)
ring_grant(queue)
arm(lane, deadlines, alarm)
return order_reply('cancelled', order)
