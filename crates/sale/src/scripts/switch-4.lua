-- Pauses, resumes or closes an item. Closing is for good.
-- KEYS  1 lane  2 queue  3 deadlines  4 alarm
-- ARGV  5 the wanted switch: open, paused or closed
-- Replies
--   {'switched', before}  {'conflict', 'closed'}  {'not_found'}
local lane, queue, deadlines, alarm = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local wanted = ARGV[5]

local switch = redis.call('HGET', lane, 'switch')
if not switch then return {'not_found'} end
if switch == 'closed' and wanted ~= 'closed' then return {'conflict', 'closed'} end

redis.call('HSET', lane, 'switch', wanted)
if wanted ~= 'paused' then
  if redis.call('EXISTS', queue) == 1 then redis.call('HSET', lane, 'waiting_since', whole(now)) end
  ring_grant(queue)
  arm(lane, deadlines, alarm)
end
return {'switched', switch}
