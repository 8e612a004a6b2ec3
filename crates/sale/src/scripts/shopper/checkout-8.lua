-- Turns a hold into an order, once. Asked again, it shows the same order. The shopper pays the price of the hold, even if the
-- lane has another by now.
-- KEYS  1 lane  2 reservations  3 orders  4 details  5 deadlines  6 outbox  7 alarm  8 series
-- ARGV  5 user  6 tail  7 contact, address and note as a JSON object
-- Replies
--   {'made', order…} {'existing', order…}  with order as order_reply gives it
--   {'hold_expired'} {'conflict', state} {'not_found'}
local lane, reservations, orders, details, deadlines, outbox, alarm, series =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local user, tail, contact = ARGV[5], ARGV[6], ARGV[7]

local record = redis.call('HGET', reservations, tail)
if not record then return {'not_found'} end
assert(redis.call('EXISTS', lane) == 1, 'records without their lane')
local state, owner, quantity, price_number = read_reservation(record)
if owner ~= user then return {'not_found'} end
if state == 'ordered' then return order_reply('existing', read_order(redis.call('HGET', orders, tail))) end
if state == 'expired' or (state == 'held' and now >= deadline_of(deadlines, tail)) then return {'hold_expired'} end
if state ~= 'held' then return {'conflict', state} end

local price, currency, pay_ms, price_now, price_held = unpack(redis.call('HMGET', lane, 'price', 'currency', 'pay_ms',
  'price_number', 'price:' .. integer(price_number)))
if price_number ~= tonumber(price_now or 0) then price = price_held or price end
local order = {
  state = 'unpaid', user = user, quantity = quantity, unit = tonumber(price), currency = currency, created = now,
  pay_by = now + tonumber(pay_ms), paid_at = 0, attempt = 0, payment = '', attempts = 0, surplus = '',
}
redis.call('HSET', reservations, tail, reservation_record('ordered', user, quantity))
redis.call('HINCRBY', lane, 'held', -quantity)
redis.call('HINCRBY', lane, 'ordered', quantity)
write_order(orders, tail, order)
-- Only here, where they can be erased: no event has them.
redis.call('HSET', details, tail, contact)
redis.call('ZADD', deadlines, integer(order.pay_by), tail)
append_event(lane, outbox, 'order.created', tail, order)
count_in_series(series, 'ordered', quantity)
arm(lane, deadlines, alarm)
return order_reply('made', order)
