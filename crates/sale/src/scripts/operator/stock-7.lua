-- Adds to the stock, or sets its total, but never below the units that are taken. Under a key it does so once.
-- KEYS  1 lane  2 queue  3 deadlines  4 outbox  5 alarm  6 changes  7 kept answers
-- ARGV  5 'add' or 'total'  6 units, which may be negative for add  7 how many units a lane may have
--       8 members of the operator's change, or ''  9 idempotency key, or ''  10 digest of the request
-- Replies
--   {'stocked', total, available}  {'conflict', taken, total}  {'not_found'}
--   {'key_reused'} the key belongs to another request
local lane, queue, deadlines, outbox, alarm, changes, kept =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local how, units, most = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local key, digest = ARGV[9], ARGV[10]

local before, reused = first_answer(kept, key, digest)
if reused then return {'key_reused'} end
if before then
  local total_before, available_before = string.match(before, '^(%d+) (%d+)$')
  return {'stocked', tonumber(total_before), tonumber(available_before)}
end

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
keep_answer(kept, key, digest, integer(wanted) .. ' ' .. integer(wanted - taken))
return {'stocked', wanted, wanted - taken}
