-- Shows some reservations, each with its order, and where a reservation contradicts other records of the lane.
-- KEYS  1 lane  2 reservations  3 users  4 orders  5 deadlines
-- ARGV  5 cursor, 0 to begin  6 page size, roughly
-- Replies
--   {'rows', next cursor, 0 at the end, number of the lane's last event, rows…}  each row: tail, state, quantity, fault or '',
--     1 and the order as order_reply gives it without its status, or 0 where it has none
--   {'not_found'}
local lane, reservations, users, orders, deadlines = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local cursor, most = ARGV[5], ARGV[6]

local seq = redis.call('HGET', lane, 'outbox_seq')
if not seq then return {'not_found'} end

local function fault_of(tail, state, user, quantity, order)
  local deadline = deadline_of(deadlines, tail)
  local taken, alive = read_user(redis.call('HGET', users, user))
  local waits = state == 'queued' or state == 'held' or (order and order.state == 'unpaid')
  if (state == 'ordered') ~= (order and true or false) then return 'reservation and order do not agree' end
  if order and (order.user ~= user or order.quantity ~= quantity) then return 'the order is of another reservation' end
  if (alive == tail) ~= (waits or false) then return 'the shopper has another reservation alive' end
  if (waits or order and order.state == 'paid') and taken < quantity then return 'the purchase limit does not count it' end
  if state == 'held' and deadline == 0 then return 'the hold has no deadline' end
  if order and order.state == 'unpaid' and deadline ~= order.pay_by then return 'the order has another deadline' end
  if deadline > 0 and (state == 'queued' or not waits) then return 'it has a deadline and nothing to lapse' end
  return ''
end

local page = redis.call('HSCAN', reservations, cursor, 'COUNT', most)
local reply = {'rows', page[1], seq}
local records = page[2]
for at = 1, #records, 2 do
  local tail = records[at]
  local state, user, quantity = read_reservation(records[at + 1])
  local record = redis.call('HGET', orders, tail)
  local order = record and read_order(record)
  for _, value in ipairs({tail, state, quantity, fault_of(tail, state, user, quantity, order), order and 1 or 0}) do
    reply[#reply + 1] = value
  end
  if order then
    local shown = order_reply('', order)
    for field = 2, #shown do reply[#reply + 1] = shown[field] end
  end
end
return reply
