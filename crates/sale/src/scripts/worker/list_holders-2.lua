-- Names the shoppers of a sold-out item who have a reservation that is alive, or units. They must be shown what they have.
-- All others can be refused without asking Redis.
-- KEYS  1 lane  2 users
-- ARGV  5 how many shoppers to name at most
-- Replies
--   {'sold_out', user…}  {'too_many'} shoppers to name  {'available'} units are free, or there is no such lane
local lane, users = KEYS[1], KEYS[2]
local most = tonumber(ARGV[5])

if redis.call('HGET', lane, 'available') ~= '0' then return {'available'} end
if redis.call('HLEN', users) > most then return {'too_many'} end
local reply = redis.call('HKEYS', users)
table.insert(reply, 1, 'sold_out')
return reply
