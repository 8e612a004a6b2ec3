-- Opens a lane for an item, or gives an open lane new terms. Only the first call sets the counters.
-- KEYS  1 lane  2 queue  3 deadlines  4 alarm  5 changes  6 outbox
-- ARGV  5 'publish' or 'revise'  6 total  7 starts_at  8 ends_at  9 cap  10 mode  11 price  12 currency  13 hold_ms
--       14 pay_ms  15 retention_ms  16 to 20 rules as set_rules takes them  21 members of the operator's change, or ''
-- Replies
--   {'published'} a new lane  {'revised'} it was there  {'conflict', 'closed'}  {'not_found'} nothing to revise
local lane, queue, deadlines, alarm, changes, outbox = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local how, total, starts_at, ends_at, cap, mode, price, currency, hold_ms, pay_ms, retention_ms = unpack(ARGV, 5, 15)

local switch = redis.call('HGET', lane, 'switch')
if not switch and how == 'revise' then return {'not_found'} end
if switch == 'closed' then return {'conflict', 'closed'} end

redis.call('HSET', lane, 'starts_at', starts_at, 'ends_at', ends_at, 'cap', cap, 'mode', mode, 'price', price,
  'currency', currency, 'hold_ms', hold_ms, 'pay_ms', pay_ms,
  'purge_at', integer(tonumber(ends_at) + tonumber(retention_ms)))
if not switch then
  redis.call('HSET', lane, 'switch', 'open', 'total', total, 'available', total, 'held', 0, 'ordered', 0, 'sold', 0,
    'admitted', 0, 'drained', 0, 'outbox_seq', 0)
end
set_rules(lane, queue, deadlines, alarm, 16)
if how == 'publish' then
  local after = redis.call('HGET', lane, 'switch')
  note_change(lane, changes, ARGV[21], '"' .. (switch or 'draft') .. '"', '"' .. after .. '"')
end
append_terms(lane, outbox)
arm(lane, deadlines, alarm)
return {switch and 'revised' or 'published'}
