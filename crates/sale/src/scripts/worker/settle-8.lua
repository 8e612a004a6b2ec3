-- Records how a payment went, as the provider says. Money in time makes the order paid, money too late makes it refund_due.
-- A surplus payment leaves the order as it is, and its money is due back.
-- KEYS  1 lane  2 users  3 queue  4 orders  5 deadlines  6 outbox  7 alarm  8 series
-- ARGV  5 tail  6 attempt  7 'succeeded' or 'failed'  8 amount
-- Replies
--   {'settled', order…} something changed  {'repeated', order…} nothing did
--   {'not_found'} no such order or payment  {'wrong_amount', due}
local lane, users, queue, orders, deadlines, outbox, alarm, series =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local tail, attempt, outcome, amount = ARGV[5], tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])

local record = redis.call('HGET', orders, tail)
if not record then return {'not_found'} end
assert(redis.call('EXISTS', lane) == 1, 'records without their lane')
local order = read_order(record)
if attempt < 1 or attempt > order.attempts then return {'not_found'} end
if amount ~= order.unit * order.quantity then return {'wrong_amount', order.unit * order.quantity} end

if outcome == 'failed' then
  if attempt ~= order.attempt or order.payment ~= 'pending' then return order_reply('repeated', order) end
  order.payment = 'failed'
  write_order(orders, tail, order)
  append_event(lane, outbox, 'payment.failed', tail, order)
  arm(lane, deadlines, alarm)
  return order_reply('settled', order)
end

if order.state == 'paid' or order.state == 'refund_due' or order.state == 'refunded' then
  if attempt == order.attempt or surplus_of(order, attempt) then return order_reply('repeated', order) end
  order.surplus = order.surplus .. (order.surplus ~= '' and ',' or '') .. integer(attempt) .. ':due'
  redis.call('HINCRBY', lane, 'refunds_due', 1)
  write_order(orders, tail, order)
  append_event(lane, outbox, 'payment.refund_due', tail, order, nil, attempt)
  count_in_series(series, 'refund_due', order.quantity)
  arm(lane, deadlines, alarm)
  return order_reply('settled', order)
end

-- The first attempt may succeed after the shopper opened a second. The attempt that succeeds is the one that counts.
order.attempt = attempt
if order.state == 'unpaid' and now >= order.pay_by then
  order.state = 'timed_out'
  redis.call('HINCRBY', lane, 'ordered', -order.quantity)
  redis.call('HINCRBY', lane, 'available', order.quantity)
  redis.call('ZREM', deadlines, tail)
  return_units(users, order.user, tail, order.quantity)
  append_event(lane, outbox, 'order.timed_out', tail, order)
  count_in_series(series, 'timed_out', order.quantity)
  ring_grant(queue)
end

order.payment, order.paid_at = 'succeeded', now
if order.state == 'unpaid' then
  order.state = 'paid'
  redis.call('HINCRBY', lane, 'ordered', -order.quantity)
  redis.call('HINCRBY', lane, 'sold', order.quantity)
  redis.call('ZREM', deadlines, tail)
  -- The units still count against the shopper's cap. The reservation has ended, so the shopper may make another.
  local taken = read_user(redis.call('HGET', users, order.user))
  redis.call('HSET', users, order.user, integer(taken) .. '|')
  write_order(orders, tail, order)
  append_event(lane, outbox, 'order.paid', tail, order)
  count_in_series(series, 'paid', order.quantity)
else
  order.state = 'refund_due'
  redis.call('HINCRBY', lane, 'refunds_due', 1)
  write_order(orders, tail, order)
  append_event(lane, outbox, 'order.refund_due', tail, order)
  count_in_series(series, 'refund_due', order.quantity)
end
arm(lane, deadlines, alarm)
return order_reply('settled', order)
