-- Opens a payment of an unpaid order. Asked again while a payment is pending, it shows that payment, or replaces it. A
-- replaced payment may still succeed: `settle` lets the first that succeeds count, and the others go back.
-- KEYS  1 lane  2 orders  3 outbox  4 deadlines  5 alarm
-- ARGV  5 user  6 tail  7 '1' to replace a pending payment  8 the most payments that an order may open
-- Replies
--   {'opened', order…} {'pending', order…}  {'conflict', state}  {'too_many'}  {'not_found'}
local lane, orders, outbox, deadlines, alarm = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local user, tail, replace, most = ARGV[5], ARGV[6], ARGV[7] == '1', tonumber(ARGV[8])

local record = redis.call('HGET', orders, tail)
if not record then return {'not_found'} end
assert(redis.call('EXISTS', lane) == 1, 'records without their lane')
local order = read_order(record)
if order.user ~= user then return {'not_found'} end
if order.state ~= 'unpaid' then return {'conflict', order.state} end
if now >= order.pay_by then return {'conflict', 'timed_out'} end
if order.payment == 'pending' and not replace then return order_reply('pending', order) end
if order.attempts >= most then return {'too_many'} end

order.attempts = order.attempts + 1
order.attempt = order.attempts
order.payment = 'pending'
write_order(orders, tail, order)
append_event(lane, outbox, 'payment.created', tail, order)
arm(lane, deadlines, alarm)
return order_reply('opened', order)
