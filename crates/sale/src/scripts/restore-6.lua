-- Puts orders back as the order database has them, into a lane that is being made anew.
-- KEYS  1 rebuilding  2 reservations  3 users  4 orders  5 details  6 deadlines
-- ARGV  5 cursor that must stand  6 the next  7 the next phase, or '' to stay in this  then for each order, from 8:
--       tail, '1' to keep what the engine has of it, state, user, quantity, unit price, currency, created, pay by, paid at,
--       attempt, payment state, attempts, surplus, details
-- Replies
--   {'rebuilding', phase, cursor}  {'not_found'} nothing is being made anew
local rebuilding, reservations, users, orders, details, deadlines = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local cursor, next_cursor, next_phase = ARGV[5], ARGV[6], ARGV[7]

local begun = redis.call('HMGET', rebuilding, 'phase', 'cursor')
if not begun[1] then return {'not_found'} end
if begun[1] ~= 'orders' or begun[2] ~= cursor then return {'rebuilding', begun[1], begun[2]} end

local ordered, sold, due = 0, 0, 0
for at = 8, #ARGV, 15 do
  local tail = ARGV[at]
  local kept = ARGV[at + 1] == '1' and redis.call('HGET', orders, tail)
  local order = kept and read_order(kept) or {
    state = ARGV[at + 2], user = ARGV[at + 3], quantity = tonumber(ARGV[at + 4]), unit = tonumber(ARGV[at + 5]),
    currency = ARGV[at + 6], created = tonumber(ARGV[at + 7]), pay_by = tonumber(ARGV[at + 8]), paid_at = tonumber(ARGV[at + 9]),
    attempt = tonumber(ARGV[at + 10]), payment = ARGV[at + 11], attempts = tonumber(ARGV[at + 12]), surplus = ARGV[at + 13],
  }
  write_order(orders, tail, order)
  redis.call('HSET', details, tail, ARGV[at + 14])
  redis.call('HSET', reservations, tail, reservation_record('ordered', order.user, order.quantity))
  local taken, alive = read_user(redis.call('HGET', users, order.user))
  if order.state == 'unpaid' then
    ordered = ordered + order.quantity
    redis.call('ZADD', deadlines, whole(order.pay_by), tail)
    redis.call('HSET', users, order.user, whole(taken + order.quantity) .. '|' .. tail)
  else
    redis.call('ZREM', deadlines, tail)
    if order.state == 'paid' then
      sold = sold + order.quantity
      redis.call('HSET', users, order.user, whole(taken + order.quantity) .. '|' .. alive)
    end
  end
  if order.state == 'refund_due' then due = due + 1 end
  for _ in string.gmatch(order.surplus, ':due') do due = due + 1 end
end
redis.call('HINCRBY', rebuilding, 'ordered', whole(ordered))
redis.call('HINCRBY', rebuilding, 'sold', whole(sold))
redis.call('HINCRBY', rebuilding, 'refunds_due', whole(due))
local phase = next_phase ~= '' and next_phase or 'orders'
redis.call('HSET', rebuilding, 'phase', phase, 'cursor', next_cursor)
return {'rebuilding', phase, next_cursor}
