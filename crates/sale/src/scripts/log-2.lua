-- Appends an operator's change to the shop's log: one that was made elsewhere, or one that waited in this lane, once.
-- KEYS  1 log  2 positions
-- ARGV  5 number of the change in its lane, or '' for one that is made now  6 the entry; for one that is made now its members
--       7 most entries of the log
-- Replies
--   {'logged'}  {'known'} it was there
local log, positions = KEYS[1], KEYS[2]
local number, entry = tonumber(ARGV[5]), ARGV[6]

if number then
  if number <= tonumber(redis.call('HGET', positions, this_lane) or 0) then return {'known'} end
  redis.call('HSET', positions, this_lane, whole(number))
else
  entry = '{"at":' .. whole(now) .. ',' .. entry .. '}'
end
redis.call('XADD', log, 'MAXLEN', ARGV[7], '*', 'entry', entry)
return {'logged'}
