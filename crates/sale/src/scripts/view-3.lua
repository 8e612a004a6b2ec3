-- Shows a lane's settings and counters.
-- KEYS  1 lane  2 queue  3 outbox
-- Replies
--   {'found', now, switch, starts_at, ends_at, limit, mode, total, available, held, ordered, sold, admitted, waiting,
--    events not yet in the order database, number of the last event}  {'not_found'}
local lane, queue, outbox = KEYS[1], KEYS[2], KEYS[3]

local known = redis.call('HMGET', lane, 'switch', 'starts_at', 'ends_at', 'limit', 'mode', 'total', 'available', 'held',
  'ordered', 'sold', 'admitted', 'outbox_seq')
if not known[1] then return {'not_found'} end
return {'found', now, known[1], tonumber(known[2]), tonumber(known[3]), tonumber(known[4]), known[5], tonumber(known[6]),
  tonumber(known[7]), tonumber(known[8]), tonumber(known[9]), tonumber(known[10]), tonumber(known[11]),
  redis.call('LLEN', queue), redis.call('XLEN', outbox), tonumber(known[12])}
