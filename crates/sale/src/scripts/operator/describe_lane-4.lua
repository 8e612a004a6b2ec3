-- Sends the documents of the item and its sale to the order database, as the operator wrote them.
-- KEYS  1 lane  2 deadlines  3 outbox  4 alarm
-- ARGV  5 a JSON object with the documents
-- Replies
--   {'described'}  {'not_found'}
local lane, deadlines, outbox, alarm = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local documents = ARGV[5]

if redis.call('EXISTS', lane) == 0 then return {'not_found'} end
append(lane, outbox, 'lane.described', ',"documents":' .. documents)
arm(lane, deadlines, alarm)
return {'described'}
