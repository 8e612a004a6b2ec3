-- Pauses, resumes or closes an item. A closed item stays closed.
-- KEYS  1 lane  2 queue  3 deadlines  4 alarm  5 changes  6 outbox
-- ARGV  5 the wanted switch: open, paused or closed  6 members of the operator's change, or ''
-- Replies
--   {'switched', before}  {'conflict', 'closed'}  {'not_found'}
local lane, queue, deadlines, alarm, changes, outbox = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local wanted = ARGV[5]

local switch, paused_by_rules = unpack(redis.call('HMGET', lane, 'switch', 'paused_by_rules'))
if not switch then return {'not_found'} end
if switch == 'closed' and wanted ~= 'closed' then return {'conflict', 'closed'} end

-- What the operator sets for this item overrides a pause by the rules.
redis.call('HDEL', lane, 'paused_by_rules')
redis.call('HSET', lane, 'switch', wanted)
-- A pause that becomes the operator's own is told, too. Otherwise a rebuild would take it for one by the rules.
if wanted ~= switch or paused_by_rules then append_terms(lane, outbox) end
if wanted ~= 'paused' then
  if redis.call('EXISTS', queue) == 1 then redis.call('HSET', lane, 'waiting_since', integer(now)) end
  ring_grant(queue)
end
arm(lane, deadlines, alarm)
note_change(lane, changes, ARGV[6], '"' .. switch .. '"', '"' .. wanted .. '"')
return {'switched', switch}
