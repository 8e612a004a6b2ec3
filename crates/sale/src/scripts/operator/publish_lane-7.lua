-- Opens a lane for an item, or gives an open lane new terms. Only the first call sets the counters. Terms of an older document
-- than the lane has change nothing. A price that is replaced stays in the lane under its number, for the holds that have it.
-- KEYS  1 lane  2 queue  3 deadlines  4 alarm  5 changes  6 outbox  7 holders
-- ARGV  5 'publish' or 'revise'  6 total  7 starts_at  8 ends_at  9 cap  10 mode  11 price  12 currency  13 hold_ms
--       14 pay_ms  15 retention_ms  16 to 20 rules as set_rules takes them  21 members of the operator's change, or ''
--       22 version of the item's document
-- Replies
--   {'published'} a new lane  {'revised'} it was there  {'conflict', 'closed'}  {'not_found'} nothing to revise
--   {'older'} the lane has terms of a newer document
local lane, queue, deadlines, alarm, changes, outbox, holders =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local how, total, starts_at, ends_at, cap, mode, price, currency, hold_ms, pay_ms, retention_ms = unpack(ARGV, 5, 15)
local version = tonumber(ARGV[22])
-- How many replaced prices a lane keeps. An operator who changes it more often than that during one hold is a mistake.
local MOST_PRICES = 1000

local switch, version_before, price_before, price_number =
  unpack(redis.call('HMGET', lane, 'switch', 'version', 'price', 'price_number'))
if not switch and how == 'revise' then return {'not_found'} end
if switch == 'closed' then return {'conflict', 'closed'} end
if version < tonumber(version_before or 0) then return {'older'} end

if price_before and price_before ~= price then
  price_number = tonumber(price_number or 0)
  redis.call('HSET', lane, 'price:' .. integer(price_number), price_before, 'price_number', integer(price_number + 1))
  redis.call('HDEL', lane, 'price:' .. integer(price_number - MOST_PRICES))
end
redis.call('HSET', lane, 'version', integer(version), 'starts_at', starts_at, 'ends_at', ends_at, 'cap', cap, 'mode', mode, 'price', price,
  'currency', currency, 'hold_ms', hold_ms, 'pay_ms', pay_ms,
  'purge_at', integer(tonumber(ends_at) + tonumber(retention_ms)))
if not switch then
  redis.call('HSET', lane, 'switch', 'open', 'total', total, 'available', total, 'held', 0, 'ordered', 0, 'sold', 0,
    'admitted', 0, 'drained', 0, 'outbox_seq', 0)
  -- If Redis lost the lane alone, nobody knows the parts of the filter that is left. Then it is made again from `users`.
  if redis.call('EXISTS', holders) == 0 then begin_holders(lane, holders, tonumber(total)) end
end
set_rules(lane, queue, deadlines, alarm, 16)
if how == 'publish' then
  local after = redis.call('HGET', lane, 'switch')
  note_change(lane, changes, ARGV[21], '"' .. (switch or 'draft') .. '"', '"' .. after .. '"')
end
-- With an earlier end, a paused lane may be over by now.
if is_over_in_pause(redis.call('HGET', lane, 'switch'), ends_at) and redis.call('EXISTS', queue) == 1 then
  redis.call('HSET', lane, 'waiting_since', integer(now))
  ring_grant(queue)
end
append_terms(lane, outbox)
arm(lane, deadlines, alarm)
return {switch and 'revised' or 'published'}
