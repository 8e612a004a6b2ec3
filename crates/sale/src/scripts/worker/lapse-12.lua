-- Ends the holds and unpaid orders that lapsed, and returns their units. Rings doorbells again that were lost, and sets the
-- alarm to the next moment.
-- KEYS  1 lane  2 reservations  3 users  4 queue  5 deadlines  6 orders  7 outbox  8 alarm  9 series
--       10 rebuilding  11 untold  12 ended
-- ARGV  5 how many to end at most
-- Replies
--   {'lapsed', holds, orders, still overdue, waiting in the queue, purge due 0/1}  {'not_found'}
--   {'rebuilding'} the lane is being rebuilt, and the ledger was asked to go on with it
local lane, reservations, users, queue, deadlines, orders, outbox, alarm, series, rebuilding, untold, ended =
  unpack(KEYS)
local most = ARGV[5]

local switch, purge_at, ends_at = unpack(redis.call('HMGET', lane, 'switch', 'purge_at', 'ends_at'))
if not switch then
  if redis.call('EXISTS', rebuilding) == 0 then return {'not_found'} end
  set_alarm(alarm, now + REBUILD_PATIENCE_MS)
  redis.call('PUBLISH', ledger_doorbell, this_lane)
  return {'rebuilding'}
end

local lapsed_holds, lapsed_orders, held_units, ordered_units, lapsed = 0, 0, 0, 0, {}
for _, tail in ipairs(redis.call('ZRANGEBYSCORE', deadlines, '-inf', integer(now), 'LIMIT', 0, most)) do
  local state, user, quantity = read_reservation(redis.call('HGET', reservations, tail))
  if state == 'held' then
    redis.call('HSET', reservations, tail, reservation_record('expired', user, quantity))
    lapsed_holds = lapsed_holds + 1
    lapsed[lapsed_holds] = tail
    held_units = held_units + quantity
    return_units(users, user, tail, quantity)
  elseif state == 'ordered' then
    local order = read_order(redis.call('HGET', orders, tail))
    if order.state == 'unpaid' then
      order.state = 'timed_out'
      write_order(orders, tail, order)
      append_event(lane, outbox, 'order.timed_out', tail, order)
      lapsed_orders = lapsed_orders + 1
      ordered_units = ordered_units + quantity
      return_units(users, user, tail, quantity)
    end
  end
  redis.call('ZREM', deadlines, tail)
end
note_ended(ended, lapsed)
-- Ticks run this script, so records are forgotten when nobody comes any more, too.
forget_ended(reservations, ended, 2 * lapsed_holds + 500)
-- Only if there are any: Redis does not take Lua's negative zero for a number.
if held_units > 0 then redis.call('HINCRBY', lane, 'held', -held_units) end
if ordered_units > 0 then redis.call('HINCRBY', lane, 'ordered', -ordered_units) end
redis.call('HINCRBY', lane, 'available', held_units + ordered_units)
count_in_series(series, 'expired', held_units)
count_in_series(series, 'timed_out', ordered_units)

local waiting = redis.call('LLEN', queue)
if waiting > 0 and (switch ~= 'paused' or is_over_in_pause(switch, ends_at)) then
  redis.call('PUBLISH', grant_doorbell, this_lane)
  redis.call('HSET', lane, 'waiting_since', integer(now))
else
  redis.call('HDEL', lane, 'waiting_since')
end
if redis.call('XLEN', outbox) > 0 or redis.call('XLEN', untold) > 0 then
  redis.call('PUBLISH', ledger_doorbell, this_lane)
  redis.call('HSET', lane, 'outbox_since', integer(now))
else
  redis.call('HDEL', lane, 'outbox_since')
end
local overdue = redis.call('ZCOUNT', deadlines, '-inf', integer(now))
arm(lane, deadlines, alarm)
local purge_due = now >= tonumber(purge_at) and 1 or 0
return {'lapsed', lapsed_holds, lapsed_orders, overdue, waiting, purge_due}
