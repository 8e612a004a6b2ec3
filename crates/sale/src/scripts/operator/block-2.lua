-- Blocks or unblocks a user, an address or a network, and logs which operator did it.
-- KEYS  1 blocklist  2 log
-- ARGV  5 whom to block: `user/…` or `address/…`  6 the operator and the reason, as a JSON object; '' to unblock
--       7 how many may be blocked  8 members of the operator's change, or ''  9 how many entries the log keeps
-- Replies
--   {'blocked'}  {'unblocked'}  {'full'} no more may be blocked
local blocklist, log = KEYS[1], KEYS[2]
local who, why, members = ARGV[5], ARGV[6], ARGV[8]

local before = redis.call('HEXISTS', blocklist, who) == 1
local after = why ~= ''
if after and not before and redis.call('HLEN', blocklist) >= tonumber(ARGV[7]) then return {'full'} end
if after then
  redis.call('HSET', blocklist, who, '{"since":' .. integer(now) .. ',' .. string.sub(why, 2))
else
  redis.call('HDEL', blocklist, who)
end
if members ~= '' then
  redis.call('XADD', log, 'MAXLEN', ARGV[9], '*', 'entry', '{"at":' .. integer(now) .. ',' .. members .. ',"before":'
    .. tostring(before) .. ',"after":' .. tostring(after) .. '}')
end
return {after and 'blocked' or 'unblocked'}
