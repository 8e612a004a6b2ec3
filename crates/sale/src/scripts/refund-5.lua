-- The operator has sent the money of a refund_due order back.
-- KEYS  1 lane  2 orders  3 outbox  4 deadlines  5 alarm
-- ARGV  5 tail
-- Replies
--   {'refunded', order…} also when it was refunded before  {'conflict', state}  {'not_found'}
local lane, orders, outbox, deadlines, alarm = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local tail = ARGV[5]

local record = redis.call('HGET', orders, tail)
if not record then return {'not_found'} end
assert(redis.call('EXISTS', lane) == 1, 'records without their lane')
local order = read_order(record)
if order.state == 'refunded' then return order_reply('refunded', order) end
if order.state ~= 'refund_due' then return {'conflict', order.state} end

order.state = 'refunded'
redis.call('HINCRBY', lane, 'refunds_due', -1)
write_order(orders, tail, order)
append_event(lane, outbox, 'order.refunded', tail, order)
arm(lane, deadlines, alarm)
return order_reply('refunded', order)
