-- Sends an untold order to the order database again: as it was if its units are still free, else cancelled. The ordinary
-- scripts repeat what happened to it later, once the rebuild is finished.
-- KEYS  1 rebuilding  2 reservations  3 users  4 orders  5 deadlines  6 outbox  7 untold  8 holders
-- ARGV  5 the entry's id in untold  6 tail
-- Replies
--   {'restored'} {'cancelled'}  {'passed'} it was sent before, or there is no such order  {'not_found'} no such phase
local rebuilding, reservations, users, orders, deadlines, outbox, untold, holders =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local id, tail = ARGV[5], ARGV[6]

local phase, total, held, ordered, sold, cap =
  unpack(redis.call('HMGET', rebuilding, 'phase', 'total', 'held', 'ordered', 'sold', 'cap'))
if phase ~= 'untold' then return {'not_found'} end
local record = redis.call('HGET', orders, tail)
if redis.call('XDEL', untold, id) == 0 or not record then return {'passed'} end

local order = read_order(record)
local free = tonumber(total) - tonumber(held) - tonumber(ordered) - tonumber(sold)
local taken, alive = read_user(redis.call('HGET', users, order.user))
order.state, order.paid_at, order.attempt, order.payment, order.attempts, order.surplus = 'unpaid', 0, 0, '', 0, ''
-- The event has the time at which the order was made, even if the order is overdue by now.
local clock = now
now = order.created
append_event(rebuilding, outbox, 'order.created', tail, order)
now = clock
redis.call('HSET', reservations, tail, reservation_record('ordered', order.user, order.quantity))
if free >= order.quantity and alive == '' and taken + order.quantity <= tonumber(cap) then
  redis.call('HINCRBY', rebuilding, 'ordered', order.quantity)
  redis.call('ZADD', deadlines, integer(order.pay_by), tail)
  redis.call('HSET', users, order.user, integer(taken + order.quantity) .. '|' .. tail)
  write_order(orders, tail, order)
  note_holders(rebuilding, holders, {order.user})
  return {'restored'}
end
order.state = 'cancelled'
redis.call('ZREM', deadlines, tail)
write_order(orders, tail, order)
append_event(rebuilding, outbox, 'order.cancelled', tail, order)
return {'cancelled'}
