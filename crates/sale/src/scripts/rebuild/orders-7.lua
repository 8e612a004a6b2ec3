-- Puts orders back as the order database has them, into a lane that is being rebuilt.
-- KEYS  1 rebuilding  2 reservations  3 users  4 orders  5 details  6 deadlines  7 holders
-- ARGV  5 the cursor that the rebuild must be at  6 the cursor of the next page  7 the next phase, or '' to stay in this one
--       from 8, for each order:
--       tail, '1' to keep the engine's own record if it has one, state, user, quantity, unit price, currency, created, pay by, paid at,
--       attempt, payment state, attempts, surplus, details or '' if they are erased
-- Replies
--   {'rebuilding', phase, cursor}  {'not_found'} the lane is not being rebuilt
local rebuilding, reservations, users, orders, details, deadlines, holders =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local cursor, next_cursor, next_phase = ARGV[5], ARGV[6], ARGV[7]

local phase, reached = unpack(redis.call('HMGET', rebuilding, 'phase', 'cursor'))
if not phase then return {'not_found'} end
if phase ~= 'orders' or reached ~= cursor then return {'rebuilding', phase, reached} end

local ordered, sold, due, having = 0, 0, 0, {}
for at = 8, #ARGV, 15 do
  local tail, keep, state, user, quantity, unit, currency, created, pay_by, paid_at, attempt, payment, attempts, surplus,
    contact = unpack(ARGV, at, at + 14)
  local kept = keep == '1' and redis.call('HGET', orders, tail)
  local order = kept and read_order(kept) or {
    state = state, user = user, quantity = tonumber(quantity), unit = tonumber(unit), currency = currency,
    created = tonumber(created), pay_by = tonumber(pay_by), paid_at = tonumber(paid_at), attempt = tonumber(attempt),
    payment = payment, attempts = tonumber(attempts), surplus = surplus,
  }
  write_order(orders, tail, order)
  -- They may have been erased after the order database was read.
  if redis.call('HGET', details, tail) ~= '' then redis.call('HSET', details, tail, contact) end
  redis.call('HSET', reservations, tail, reservation_record('ordered', order.user, order.quantity))
  local taken, alive = read_user(redis.call('HGET', users, order.user))
  if order.state == 'unpaid' then
    ordered = ordered + order.quantity
    redis.call('ZADD', deadlines, integer(order.pay_by), tail)
    redis.call('HSET', users, order.user, integer(taken + order.quantity) .. '|' .. tail)
  else
    redis.call('ZREM', deadlines, tail)
    if order.state == 'paid' then
      sold = sold + order.quantity
      redis.call('HSET', users, order.user, integer(taken + order.quantity) .. '|' .. alive)
    end
  end
  if order.state == 'unpaid' or order.state == 'paid' then having[#having + 1] = order.user end
  if order.state == 'refund_due' then due = due + 1 end
  for _ in string.gmatch(order.surplus, ':due') do due = due + 1 end
end
note_holders(rebuilding, holders, having)
redis.call('HINCRBY', rebuilding, 'ordered', integer(ordered))
redis.call('HINCRBY', rebuilding, 'sold', integer(sold))
redis.call('HINCRBY', rebuilding, 'refunds_due', integer(due))
if next_phase ~= '' then phase, next_cursor = next_phase, '' end
redis.call('HSET', rebuilding, 'phase', phase, 'cursor', next_cursor)
return {'rebuilding', phase, next_cursor}
