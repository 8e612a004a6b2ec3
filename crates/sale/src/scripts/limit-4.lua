-- Gives a lane the limits that follow from the rules, unless it has those of younger rules.
-- KEYS  1 lane  2 queue  3 deadlines  4 alarm
-- ARGV  5 to 9 limits as set_limits takes them
-- Replies
--   {'limited'}  {'younger'} it has those of younger rules  {'not_found'}
local lane, queue, deadlines, alarm = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

if redis.call('EXISTS', lane) == 0 then return {'not_found'} end
return {set_limits(lane, queue, deadlines, alarm, 5) and 'limited' or 'younger'}
