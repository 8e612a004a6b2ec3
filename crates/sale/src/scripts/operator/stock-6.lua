-- Adds to the stock, or sets its total, but never below the units that are taken.
-- KEYS  1 lane  2 queue  3 deadlines  4 outbox  5 alarm  6 changes
-- ARGV  5 'add' or 'total'  6 units, which may be negative for add  7 how many units a lane may have
--       8 members of the operator's change, or ''
-- Replies
--   {'stocked', total, available}  {'conflict', taken, total}  {'not_found'}
local lane, queue, deadlines, outbox, alarm, changes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local how, units, most = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])

local switch, total, available = unpack(redis.call('HMGET', lane, 'switch', 'total', 'available'))
if not switch then return {'not_found'} end
total, available = tonumber(total), tonumber(available)
local wanted = how == 'add' and total + units or units
local taken = total - available
if switch == 'closed' or wanted < taken or wanted > most then return {'conflict', taken, total} end

redis.call('HSET', lane, 'total', integer(wanted), 'available', integer(wanted - taken))
if wanted ~= total then append_terms(lane, outbox) end
ring_grant(queue)
arm(lane, deadlines, alarm)
note_change(lane, changes, ARGV[8], integer(total), integer(wanted))
return {'stocked', wanted, wanted - taken}
