-- Put before the scripts that read or move orders, or tell the order database something.

-- An order's record: state|user|quantity|unit price|currency|created|pay by|paid at|attempt|payment state|attempts, and
-- |surplus where there is any. `attempt` is the payment that counts, the latest until one succeeds; `attempts` is how many
-- were opened. `surplus` names the other payments that succeeded: `2:due,3:refunded`. Their money goes back.
local function read_order(record)
  local fields = {}
  for field in string.gmatch(record .. '|', '([^|]*)|') do fields[#fields + 1] = field end
  return {
    state = fields[1], user = fields[2], quantity = tonumber(fields[3]), unit = tonumber(fields[4]), currency = fields[5],
    created = tonumber(fields[6]), pay_by = tonumber(fields[7]), paid_at = tonumber(fields[8]),
    attempt = tonumber(fields[9]), payment = fields[10], attempts = tonumber(fields[11]), surplus = fields[12] or '',
  }
end

local function write_order(orders, tail, order)
  redis.call('HSET', orders, tail, table.concat({
    order.state, order.user, whole(order.quantity), whole(order.unit), order.currency, whole(order.created),
    whole(order.pay_by), whole(order.paid_at), whole(order.attempt), order.payment,
    whole(order.attempts), order.surplus ~= '' and order.surplus or nil,
  }, '|'))
end

-- What became of a payment beside the one that counts: 'due', 'refunded', or nothing where no money came.
local function surplus_of(order, attempt)
  return string.match(',' .. order.surplus, ',' .. whole(attempt) .. ':(%a+)')
end

-- What every script answers that has an order to show.
local function order_reply(status, order)
  return {
    status, order.state, order.user, order.quantity, order.unit, order.currency, order.created, order.pay_by,
    order.paid_at, order.attempt, order.payment, order.surplus,
  }
end

-- Appends an event to the outbox; `members` are its JSON members beside those that every event has, each after a comma.
local function append(lane, outbox, kind, members)
  local seq = redis.call('HINCRBY', lane, 'outbox_seq', 1)
  local item, number = string.match(this_lane, '^([^:]+):(%d+)$')
  redis.call('XADD', outbox, '*', 'event', '{"seq":' .. whole(seq) .. ',"type":"' .. kind .. '","at":' .. whole(now)
    .. ',"item_id":"' .. item .. '","lane":' .. number .. members .. '}')
  if redis.call('XLEN', outbox) == 1 then
    redis.call('HSET', lane, 'outbox_since', whole(now))
    redis.call('PUBLISH', ledger_doorbell, this_lane)
  end
end

-- Appends an event of an order, or of its payment `attempt`, which is the one that counts where none is given; `more` is
-- further JSON members, each after a comma.
local function append_event(lane, outbox, kind, tail, order, more, attempt)
  attempt = attempt or order.attempt
  local item, number = string.match(this_lane, '^([^:]+):(%d+)$')
  local suffix = '-' .. item .. '-' .. number .. '-' .. tail
  local members = ',"order_id":"o' .. suffix .. '","reservation_id":"r' .. suffix .. '","user_id":"' .. order.user
    .. '","quantity":' .. whole(order.quantity) .. ',"unit_price":' .. whole(order.unit) .. ',"currency":"'
    .. order.currency .. '","state":"' .. order.state .. '","pay_by":' .. whole(order.pay_by)
  if attempt > 0 then
    members = members .. ',"payment_id":"p' .. suffix .. '-' .. whole(attempt) .. '","amount":'
      .. whole(order.unit * order.quantity)
  end
  if order.paid_at > 0 then members = members .. ',"paid_at":' .. whole(order.paid_at) end
  append(lane, outbox, kind, members .. (more or ''))
end

-- Tells the order database the whole of the lane's stock and terms, so that a lane that Redis loses can be made anew.
local function append_terms(lane, outbox)
  local known = redis.call('HMGET', lane, 'switch', 'total', 'starts_at', 'ends_at', 'limit', 'mode', 'price', 'currency',
    'hold_ms', 'pay_ms', 'queue_factor', 'purge_at', 'limits')
  append(lane, outbox, 'lane.changed', ',"switch":"' .. known[1] .. '","total":' .. known[2] .. ',"starts_at":' .. known[3]
    .. ',"ends_at":' .. known[4] .. ',"limit":' .. known[5] .. ',"mode":"' .. known[6] .. '","price":' .. known[7]
    .. ',"currency":"' .. known[8] .. '","hold_ms":' .. known[9] .. ',"pay_ms":' .. known[10]
    .. ',"queue_factor":' .. known[11] .. ',"purge_at":' .. known[12] .. ',"limits":"' .. known[13] .. '"')
end
