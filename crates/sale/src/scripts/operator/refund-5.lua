-- Records that the operator sent money back: that of a refund_due order, or of a surplus payment.
-- KEYS  1 lane  2 orders  3 outbox  4 deadlines  5 alarm
-- ARGV  5 tail  6 the payment's attempt, 0 for the one that counts
-- Replies
--   {'refunded', order…} also when it was refunded before  {'conflict', state}  {'not_found'} no such order or payment
local lane, orders, outbox, deadlines, alarm = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local tail, attempt = ARGV[5], tonumber(ARGV[6])

local record = redis.call('HGET', orders, tail)
if not record then return {'not_found'} end
assert(redis.call('EXISTS', lane) == 1, 'records without their lane')
local order = read_order(record)
if attempt > order.attempts then return {'not_found'} end
if attempt > 0 and attempt ~= order.attempt then
  local surplus = surplus_of(order, attempt)
  if not surplus then return {'conflict', order.state} end
  if surplus == 'due' then
    local before, after = ',' .. integer(attempt) .. ':due,', ',' .. integer(attempt) .. ':refunded,'
    order.surplus = string.gsub(',' .. order.surplus .. ',', before, after):sub(2, -2)
    redis.call('HINCRBY', lane, 'refunds_due', -1)
    write_order(orders, tail, order)
    append_event(lane, outbox, 'payment.refunded', tail, order, nil, attempt)
    arm(lane, deadlines, alarm)
  end
  return order_reply('refunded', order)
end
if order.state == 'refunded' then return order_reply('refunded', order) end
if order.state ~= 'refund_due' then return {'conflict', order.state} end

order.state = 'refunded'
redis.call('HINCRBY', lane, 'refunds_due', -1)
write_order(orders, tail, order)
append_event(lane, outbox, 'order.refunded', tail, order)
arm(lane, deadlines, alarm)
return order_reply('refunded', order)
