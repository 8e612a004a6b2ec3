-- Gives the ledger the oldest events: first those given before and not acknowledged, then new ones. So a copier that
-- died loses nothing and order is kept; two copiers at once see the same events, which the database takes once.
-- KEYS  1 outbox
-- ARGV  5 most events
-- Replies
--   {'events', id, event, id, event, …}
local outbox = KEYS[1]
local most = tonumber(ARGV[5])

if redis.call('EXISTS', outbox) == 0 then return {'events'} end
redis.pcall('XGROUP', 'CREATE', outbox, 'ledger', '0')

local reply = {'events'}
local function take(from, count)
  local streams = redis.call('XREADGROUP', 'GROUP', 'ledger', 'copier', 'COUNT', count, 'STREAMS', outbox, from)
  for _, entry in ipairs(streams and streams[1] and streams[1][2] or {}) do
    reply[#reply + 1] = entry[1]
    reply[#reply + 1] = entry[2] and entry[2][2] or ''
  end
end
take('0', most)
local given = (#reply - 1) / 2
if given < most then take('>', most - given) end
return reply
