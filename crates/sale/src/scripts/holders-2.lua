-- Once an item has no unit left: the shoppers who have a reservation that is still alive or units not returned. All
-- others can be refused without asking Redis; these must be shown what they have.
-- KEYS  1 lane  2 users
-- ARGV  5 most shoppers to name
-- Replies
--   {'sold_out', user…}  {'too_many'} to name  {'available'} units are free, or there is no such lane
local lane, users = KEYS[1], KEYS[2]
local most = tonumber(ARGV[5])

if redis.call('HGET', lane, 'available') ~= '0' then return {'available'} end
if redis.call('HLEN', users) > most then return {'too_many'} end
local reply = redis.call('HKEYS', users)
table.insert(reply, 1, 'sold_out')
return reply
