-- Recounts a lane from its reservations and orders, in one moment, and shows its counters beside the recount. Only for small
-- lanes; `audit_rows` takes any.
-- KEYS  1 lane  2 reservations  3 users  4 queue  5 orders  6 deadlines
-- ARGV  5 how many reservations to recount at most
-- Replies
--   {'counted', total, available, held, ordered, sold,   what the counters say
--    held, ordered, sold,                                what the records say
--    queued records, queue length, users' units not returned, users' records, records in all, deadlines}
--   {'too_many', records in all}  {'not_found'}
local lane, reservations, users, queue, orders, deadlines = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

local total, available, held_by_counter, ordered_by_counter, sold_by_counter =
  unpack(redis.call('HMGET', lane, 'total', 'available', 'held', 'ordered', 'sold'))
if not total then return {'not_found'} end
local in_all = redis.call('HLEN', reservations)
if in_all > tonumber(ARGV[5]) then return {'too_many', in_all} end

local held, ordered, sold, queued, records = 0, 0, 0, 0, 0
local function count(state, quantity, tail)
  records = records + 1
  if state == 'queued' then
    queued = queued + quantity
  elseif state == 'held' then
    held = held + quantity
  elseif state == 'ordered' then
    -- A lost order is not counted, so it shows as a difference.
    local record = redis.call('HGET', orders, tail)
    local order_state = record and read_order(record).state
    if order_state == 'unpaid' then ordered = ordered + quantity end
    if order_state == 'paid' then sold = sold + quantity end
  end
end
local all = redis.call('HGETALL', reservations)
for at = 1, #all, 2 do
  local state, _, quantity = read_reservation(all[at + 1])
  count(state, quantity, all[at])
end
local taken = 0
local shoppers = redis.call('HVALS', users)
for _, record in ipairs(shoppers) do taken = taken + read_user(record) end

return {'counted', tonumber(total), tonumber(available), tonumber(held_by_counter), tonumber(ordered_by_counter),
  tonumber(sold_by_counter), held, ordered, sold, queued, redis.call('LLEN', queue), taken, #shoppers, records, redis.call('ZCARD', deadlines)}
