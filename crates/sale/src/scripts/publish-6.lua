-- Opens a lane for an item, or gives an open lane new terms. Its counters are made once and never overwritten.
-- KEYS  1 lane  2 queue  3 deadlines  4 alarm  5 changes  6 outbox
-- ARGV  5 'publish' or 'revise'  6 total  7 starts_at  8 ends_at  9 limit  10 mode  11 price  12 currency  13 hold_ms
--       14 pay_ms  15 retention_ms  16 to 20 limits as set_limits takes them  21 members of the operator's change, or ''
-- Replies
--   {'published'} a new lane  {'revised'} it was there  {'conflict', 'closed'}  {'not_found'} nothing to revise
local lane, queue, deadlines, alarm, changes, outbox = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

local switch = redis.call('HGET', lane, 'switch')
if not switch and ARGV[5] == 'revise' then return {'not_found'} end
if switch == 'closed' then return {'conflict', 'closed'} end

redis.call('HSET', lane, 'starts_at', ARGV[7], 'ends_at', ARGV[8], 'limit', ARGV[9], 'mode', ARGV[10], 'price', ARGV[11],
  'currency', ARGV[12], 'hold_ms', ARGV[13], 'pay_ms', ARGV[14],
  'purge_at', whole(tonumber(ARGV[8]) + tonumber(ARGV[15])))
if not switch then
  redis.call('HSET', lane, 'switch', 'open', 'total', ARGV[6], 'available', ARGV[6], 'held', 0, 'ordered', 0, 'sold', 0,
    'admitted', 0, 'drained', 0, 'outbox_seq', 0)
end
set_limits(lane, queue, deadlines, alarm, 16)
if ARGV[5] == 'publish' then
  local after = redis.call('HGET', lane, 'switch')
  note_change(lane, changes, ARGV[21], '"' .. (switch or 'draft') .. '"', '"' .. after .. '"')
end
append_terms(lane, outbox)
arm(lane, deadlines, alarm)
return {switch and 'revised' or 'published'}
