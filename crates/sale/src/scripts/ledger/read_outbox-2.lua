-- Gives the ledger the oldest events: first those given before and not acknowledged, then new ones. So a ledger that dies
-- loses nothing, and the order is kept. Two ledgers at once see the same events, and the database takes each once.
-- With the event that made an order it gives the order's contact, address and note, which no event has.
-- KEYS  1 outbox  2 details
-- ARGV  5 how many events at most
-- Replies
--   {'events', id, event, details or '', id, event, details or '', …}
local outbox, details = KEYS[1], KEYS[2]
local most = tonumber(ARGV[5])

if redis.call('EXISTS', outbox) == 0 then return {'events'} end
redis.pcall('XGROUP', 'CREATE', outbox, 'ledger', '0')

local reply = {'events'}
local function read(from, count)
  local streams = redis.call('XREADGROUP', 'GROUP', 'ledger', 'copier', 'COUNT', count, 'STREAMS', outbox, from)
  for _, entry in ipairs(streams and streams[1] and streams[1][2] or {}) do
    local event = entry[2] and entry[2][2] or ''
    local tail = string.match(event, '^{"seq":%d+,"type":"order%.created",.-"order_id":"o%-[^"]-%-(%w+)"')
    reply[#reply + 1] = entry[1]
    reply[#reply + 1] = event
    reply[#reply + 1] = tail and redis.call('HGET', details, tail) or ''
  end
end
read('0', most)
local given = (#reply - 1) / 3
if given < most then read('>', most - given) end
return reply
