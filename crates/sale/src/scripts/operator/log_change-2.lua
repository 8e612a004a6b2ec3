-- Appends an operator's change to the shop's log. A change that waited in a lane is appended only once.
-- KEYS  1 log  2 positions
-- ARGV  5 number of the change in its lane, or '' if it is made now  6 the entry, or only its members if it is made now
--       7 how many entries the log keeps
-- Replies
--   {'logged'}  {'known'} the log has it
local log, positions = KEYS[1], KEYS[2]
local number, entry = tonumber(ARGV[5]), ARGV[6]

if number then
  if number <= tonumber(redis.call('ZSCORE', positions, this_lane) or 0) then return {'known'} end
  redis.call('ZADD', positions, integer(number), this_lane)
  -- The positions outlive the purge of a lane, whose server may come back with an older copy. Numbers are moments: the lanes
  -- that changed least lately leave.
  redis.call('ZREMRANGEBYRANK', positions, 0, -1 - ARGV[7])
else
  entry = '{"at":' .. integer(now) .. ',' .. entry .. '}'
end
redis.call('XADD', log, 'MAXLEN', ARGV[7], '*', 'entry', entry)
return {'logged'}
