-- Stands before the scripts that read or move orders, or send events to the order database.

-- An order's record: state|user|quantity|unit price|currency|created|pay by|paid at|attempt|payment state|attempts, and
-- |surplus if there is any. `attempt` is the payment that counts: the latest, until one succeeds. `attempts` is how many
-- were opened. `surplus` lists the surplus payments: `2:due,3:refunded`.
local function read_order(record)
  local fields = {}
  for field in string.gmatch(record .. '|', '([^|]*)|') do fields[#fields + 1] = field end
  local state, user, quantity, unit, currency, created, pay_by, paid_at, attempt, payment, attempts, surplus = unpack(fields)
  return {
    state = state, user = user, quantity = tonumber(quantity), unit = tonumber(unit), currency = currency,
    created = tonumber(created), pay_by = tonumber(pay_by), paid_at = tonumber(paid_at),
    attempt = tonumber(attempt), payment = payment, attempts = tonumber(attempts), surplus = surplus or '',
  }
end

local function write_order(orders, tail, order)
  redis.call('HSET', orders, tail, table.concat({
    order.state, order.user, integer(order.quantity), integer(order.unit), order.currency, integer(order.created),
    integer(order.pay_by), integer(order.paid_at), integer(order.attempt), order.payment,
    integer(order.attempts), order.surplus ~= '' and order.surplus or nil,
  }, '|'))
end

-- The state of a surplus payment: 'due', 'refunded', or nil if this attempt brought no surplus.
local function surplus_of(order, attempt)
  return string.match(',' .. order.surplus, ',' .. integer(attempt) .. ':(%a+)')
end

-- The reply of every script that shows an order.
local function order_reply(status, order)
  return {
    status, order.state, order.user, order.quantity, order.unit, order.currency, order.created, order.pay_by,
    order.paid_at, order.attempt, order.payment, order.surplus,
  }
end

-- Appends an event to the outbox. `members` are its own JSON members, each after a comma; every event has the others.
local function append(lane, outbox, kind, members)
  local seq = redis.call('HINCRBY', lane, 'outbox_seq', 1)
  local item, number = string.match(this_lane, '^([^:]+):(%d+)$')
  redis.call('XADD', outbox, '*', 'event', '{"seq":' .. integer(seq) .. ',"type":"' .. kind .. '","at":' .. integer(now)
    .. ',"item_id":"' .. item .. '","lane":' .. number .. members .. '}')
  if redis.call('XLEN', outbox) == 1 then
    redis.call('HSET', lane, 'outbox_since', integer(now))
    redis.call('PUBLISH', ledger_doorbell, this_lane)
  end
end

-- Appends an event of an order or of its payment `attempt`, by default the attempt that counts. `more` is further JSON
-- members, each after a comma.
local function append_event(lane, outbox, kind, tail, order, more, attempt)
  attempt = attempt or order.attempt
  local item, number = string.match(this_lane, '^([^:]+):(%d+)$')
  local suffix = '-' .. item .. '-' .. number .. '-' .. tail
  local members = ',"order_id":"o' .. suffix .. '","reservation_id":"r' .. suffix .. '","user_id":"' .. order.user
    .. '","quantity":' .. integer(order.quantity) .. ',"unit_price":' .. integer(order.unit) .. ',"currency":"'
    .. order.currency .. '","state":"' .. order.state .. '","pay_by":' .. integer(order.pay_by)
  if attempt > 0 then
    members = members .. ',"payment_id":"p' .. suffix .. '-' .. integer(attempt) .. '","amount":'
      .. integer(order.unit * order.quantity)
  end
  if order.paid_at > 0 then members = members .. ',"paid_at":' .. integer(order.paid_at) end
  append(lane, outbox, kind, members .. (more or ''))
end

-- Sends all of the lane's stock and terms to the order database, from which a lane that Redis loses is rebuilt.
local function append_terms(lane, outbox)
  local switch, total, starts_at, ends_at, cap, mode, price, currency, hold_ms, pay_ms, queue_factor, purge_at, rates =
    unpack(redis.call('HMGET', lane, 'switch', 'total', 'starts_at', 'ends_at', 'cap', 'mode', 'price', 'currency',
      'hold_ms', 'pay_ms', 'queue_factor', 'purge_at', 'rates'))
  append(lane, outbox, 'lane.changed', ',"switch":"' .. switch .. '","total":' .. total .. ',"starts_at":' .. starts_at
    .. ',"ends_at":' .. ends_at .. ',"cap":' .. cap .. ',"mode":"' .. mode .. '","price":' .. price
    .. ',"currency":"' .. currency .. '","hold_ms":' .. hold_ms .. ',"pay_ms":' .. pay_ms
    .. ',"queue_factor":' .. queue_factor .. ',"purge_at":' .. purge_at .. ',"rates":"' .. rates .. '"')
end
