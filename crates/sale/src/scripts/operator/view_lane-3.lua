-- Shows a lane's settings and counters.
-- KEYS  1 lane  2 queue  3 outbox
-- Replies
--   {'found', now, switch, starts_at, ends_at, cap, mode, total, available, held, ordered, sold, admitted, waiting,
--    events not yet in the order database, number of the last event}  {'not_found'}
local lane, queue, outbox = KEYS[1], KEYS[2], KEYS[3]

local switch, starts_at, ends_at, cap, mode, total, available, held, ordered, sold, admitted, outbox_seq =
  unpack(redis.call('HMGET', lane, 'switch', 'starts_at', 'ends_at', 'cap', 'mode', 'total', 'available', 'held',
    'ordered', 'sold', 'admitted', 'outbox_seq'))
if not switch then return {'not_found'} end
return {'found', now, switch, tonumber(starts_at), tonumber(ends_at), tonumber(cap), mode, tonumber(total),
  tonumber(available), tonumber(held), tonumber(ordered), tonumber(sold), tonumber(admitted),
  redis.call('LLEN', queue), redis.call('XLEN', outbox), tonumber(outbox_seq)}
