-- Takes a lane that is lost, or behind the order database, out of the sale and begins to rebuild it. Until `finish` there is
-- no lane: nothing of it is granted, sold or returned. Its reservations stay where they are.
-- KEYS  1 lane  2 rebuilding  3 users  4 outbox  5 untold  6 alarm  7 holders
-- ARGV  5 events that the order database has  6 '1' if the lane's own events contradict those
--       7 switch  8 total  9 starts_at  10 ends_at  11 cap  12 mode  13 price  14 currency  15 hold_ms  16 pay_ms
--       17 queue_factor  18 purge_at  19 rates
--       20 '1' if the rules have paused it
-- Replies
--   {'rebuilding', phase, cursor} also when it began before  {'sound'} the lane is there and has all events
local lane, rebuilding, users, outbox, untold, alarm, holders =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local written, contradicts = tonumber(ARGV[5]), ARGV[6] == '1'
local switch, total, starts_at, ends_at, cap, mode, price, currency, hold_ms, pay_ms, queue_factor, purge_at, rates =
  unpack(ARGV, 7, 19)

local phase, cursor = unpack(redis.call('HMGET', rebuilding, 'phase', 'cursor'))
if phase then return {'rebuilding', phase, cursor} end
local seq, price_before, price_number = unpack(redis.call('HMGET', lane, 'outbox_seq', 'price', 'price_number'))
seq, price_number = tonumber(seq), tonumber(price_number or 0)
if seq and seq >= written and not contradicts then return {'sound'} end
-- The untold events of an earlier rebuild come first.
if redis.call('XLEN', untold) > 0 then return {'sound'} end

if seq then redis.call('RENAME', lane, rebuilding) end
-- The holds keep the price that they were made at, as they do when an operator sets another.
if seq and price_before ~= price then
  redis.call('HSET', rebuilding, 'price:' .. integer(price_number), price_before, 'price_number', integer(price_number + 1))
end
-- Keep the events that the order database does not have. They are sent again once the lane is what the database says.
if redis.call('XLEN', outbox) > 0 then redis.call('RENAME', outbox, untold) end
redis.call('DEL', users)
redis.call('HSET', rebuilding, 'phase', 'orders', 'cursor', '', 'outbox_seq', integer(written), 'switch', switch,
  'total', total, 'starts_at', starts_at, 'ends_at', ends_at, 'cap', cap, 'mode', mode, 'price', price,
  'currency', currency, 'hold_ms', hold_ms, 'pay_ms', pay_ms, 'queue_factor', queue_factor, 'purge_at', purge_at,
  'rates', rates, 'held', 0, 'ordered', 0, 'sold', 0, 'refunds_due', 0)
if ARGV[20] == '1' then
  redis.call('HSET', rebuilding, 'paused_by_rules', '1')
else
  redis.call('HDEL', rebuilding, 'paused_by_rules')
end
begin_holders(rebuilding, holders, tonumber(total))
redis.call('HSETNX', rebuilding, 'admitted', 0)
redis.call('HSETNX', rebuilding, 'drained', 0)
redis.call('HDEL', rebuilding, 'waiting_since', 'outbox_since')
-- A note that the rules paused the lane would keep them from pausing it again.
if switch ~= 'paused' then redis.call('HDEL', rebuilding, 'paused_by_rules') end
-- The alarm goes on with the rebuild if the worker dies.
set_alarm(alarm, now + REBUILD_PATIENCE_MS)
return {'rebuilding', 'orders', ''}
