-- Writes the rules into a lane, unless the lane has newer ones.
-- KEYS  1 lane  2 queue  3 deadlines  4 alarm
-- ARGV  5 to 9 rules as set_rules takes them
-- Replies
--   {'applied'}  {'newer'} the lane has newer rules, which stay  {'not_found'}
local lane, queue, deadlines, alarm = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

if redis.call('EXISTS', lane) == 0 then return {'not_found'} end
return {set_rules(lane, queue, deadlines, alarm, 5) and 'applied' or 'newer'}
