-- Opens a payment of an unpaid order. Asked again while a payment is pending, it shows that payment.
-- KEYS  1 lane  2 orders  3 outbox  4 deadlines  5 alarm
-- ARGV  5 user  6 tail
-- Replies
--   {'opened', order…} {'pending', order…}  {'conflict', state}  {'not_found'}
local lane, orders, outbox, deadlines, alarm = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local user, tail = ARGV[5], ARGV[6]

local record = redis.call('HGET', orders, tail)
if not record then return {'not_found'} end
assert(redis.call('EXISTS', lane) == 1, 'records without their lane')
local order = read_order(record)
if order.user ~= user then return {'not_found'} end
if order.state ~= 'unpaid' then return {'conflict', order.state} end
if now >= order.pay_by then return {'conflict', 'timed_out'} end
if order.payment == 'pending' then return order_reply('pending', order) end

order.attempts = order.attempts + 1
order.attempt = order.attempts
order.payment = 'pending'
write_order(orders, tail, order)
append_event(lane, outbox, 'payment.created', tail, order)
arm(lane, deadlines, alarm)
return order_reply('opened', order)
