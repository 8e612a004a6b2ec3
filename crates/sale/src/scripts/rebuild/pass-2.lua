-- Goes past a page of untold events in a lane that is being rebuilt. The phase `decisions` puts back what operators decided
-- and the order database does not have; the phase `untold` comes after it.
-- KEYS  1 rebuilding  2 outbox
-- ARGV  5 phase and  6 cursor that the rebuild must be at  7 the next cursor  8 '1' if it was the last page
--       9 the newest documents of sale and item among the events of the page, as a JSON object, or ''
--       from 10, names and values of what an operator changed; an empty value removes the field
-- Replies
--   {'rebuilding', phase, cursor}  {'not_found'} the lane is not being rebuilt
local rebuilding, outbox = KEYS[1], KEYS[2]
local expected_phase, cursor, next_cursor, is_last, documents = ARGV[5], ARGV[6], ARGV[7], ARGV[8] == '1', ARGV[9]

local phase, reached, switch, ordered, sold =
  unpack(redis.call('HMGET', rebuilding, 'phase', 'cursor', 'switch', 'ordered', 'sold'))
if not phase then return {'not_found'} end
if phase ~= expected_phase or reached ~= cursor then return {'rebuilding', phase, reached} end

if #ARGV >= 10 then
  redis.call('HSET', rebuilding, 'decided', '1')
  for at = 10, #ARGV, 2 do
    local name, value = unpack(ARGV, at, at + 1)
    if value == '' then redis.call('HDEL', rebuilding, name) else redis.call('HSET', rebuilding, name, value) end
  end
  -- A closed item stays closed. The stock is never below what is taken, of which the older copy may not have known.
  if switch == 'closed' then redis.call('HSET', rebuilding, 'switch', 'closed') end
  local taken = tonumber(ordered) + tonumber(sold)
  if tonumber(redis.call('HGET', rebuilding, 'total')) < taken then
    redis.call('HSET', rebuilding, 'total', integer(taken))
  end
  -- A note that the rules paused the lane would keep them from pausing it again.
  if redis.call('HGET', rebuilding, 'switch') ~= 'paused' then redis.call('HDEL', rebuilding, 'paused_by_rules') end
end
if documents ~= '' then append(rebuilding, outbox, 'lane.described', ',"documents":' .. documents) end
if is_last then
  if phase == 'decisions' and redis.call('HDEL', rebuilding, 'decided') == 1 then append_terms(rebuilding, outbox) end
  if phase == 'decisions' then phase, next_cursor = 'untold', '' else phase, next_cursor = 'holds', '0' end
end
redis.call('HSET', rebuilding, 'phase', phase, 'cursor', next_cursor)
return {'rebuilding', phase, next_cursor}
