-- Writes the rules into a lane, unless the lane has newer ones.
-- KEYS  1 lane  2 queue  3 deadlines  4 alarm  5 outbox
-- ARGV  5 to 9 rules as set_rules takes them
-- Replies
--   {'applied'}  {'newer'} the lane has newer rules, which stay  {'not_found'}
local lane, queue, deadlines, alarm, outbox = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

if redis.call('EXISTS', lane) == 0 then return {'not_found'} end
local function told()
  return table.concat(redis.call('HMGET', lane, 'switch', 'rates', 'queue_factor'), '|')
end
local before = told()
if not set_rules(lane, queue, deadlines, alarm, 5) then return {'newer'} end
-- Every tick applies the rules again: tell only what they have changed.
if told() ~= before then
  append_terms(lane, outbox)
  arm(lane, deadlines, alarm)
end
return {'applied'}
