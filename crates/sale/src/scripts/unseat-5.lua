-- Takes a lane that is lost, or behind the order database, out of the sale and begins to make it anew. Until `seat` puts it
-- back there is no lane: nothing of it is granted, sold or returned. What reservations it has stay where they are.
-- KEYS  1 lane  2 rebuilding  3 users  4 outbox  5 untold
-- ARGV  5 events that the order database has  6 '1' if the lane's own events contradict those  then its terms, in the order
--       7 switch  8 total  9 starts_at  10 ends_at  11 limit  12 mode  13 price  14 currency  15 hold_ms  16 pay_ms
--       17 queue_factor  18 purge_at  19 limits
-- Replies
--   {'rebuilding', phase, cursor} now or before  {'sound'} the lane is there and has all events
local lane, rebuilding, users, outbox, untold = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local written, contradicts = tonumber(ARGV[5]), ARGV[6] == '1'

local begun = redis.call('HMGET', rebuilding, 'phase', 'cursor')
if begun[1] then return {'rebuilding', begun[1], begun[2]} end
local seq = tonumber(redis.call('HGET', lane, 'outbox_seq'))
if seq and seq >= written and not contradicts then return {'sound'} end
-- The events of an earlier attempt are told first.
if redis.call('XLEN', untold) > 0 then return {'sound'} end

if seq then redis.call('RENAME', lane, rebuilding) end
-- What the lane told and the order database does not have is told again, once the lane is what the database says.
if redis.call('XLEN', outbox) > 0 then redis.call('RENAME', outbox, untold) end
redis.call('DEL', users)
redis.call('HSET', rebuilding, 'phase', 'orders', 'cursor', '', 'outbox_seq', whole(written), 'switch', ARGV[7], 'total', ARGV[8],
  'starts_at', ARGV[9], 'ends_at', ARGV[10], 'limit', ARGV[11], 'mode', ARGV[12], 'price', ARGV[13], 'currency', ARGV[14],
  'hold_ms', ARGV[15], 'pay_ms', ARGV[16], 'queue_factor', ARGV[17], 'purge_at', ARGV[18],
  'limits', ARGV[19],
  'held', 0, 'ordered', 0, 'sold', 0, 'refunds_due', 0)
redis.call('HSETNX', rebuilding, 'admitted', 0)
redis.call('HSETNX', rebuilding, 'drained', 0)
redis.call('HDEL', rebuilding, 'waiting_since', 'outbox_since')
return {'rebuilding', 'orders', ''}
