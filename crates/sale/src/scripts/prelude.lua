-- Put before every script of a lane. Binds the arguments that all of them begin with, and holds what they share.
-- ARGV[1] the moment in milliseconds, or '' for the server's own clock
-- ARGV[2] the lane, `<item>:<lane>`, as doorbells carry it
-- ARGV[3] the channel that wakes grant
-- ARGV[4] the channel that wakes ledger
local this_lane, grant_doorbell, ledger_doorbell = ARGV[2], ARGV[3], ARGV[4]
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A queue or an outbox that nobody has emptied for this long is looked at by the alarm.
local QUEUE_PATIENCE_MS, OUTBOX_PATIENCE_MS, PURGE_PATIENCE_MS = 500, 1000, 60000

-- Whole numbers in full: `..` would round from 15 digits on.
local function whole(number)
  return string.format('%.0f', number)
end

-- A reservation's record: state|user|quantity, and while it is queued |number. Until when it is held stands in the
-- deadlines only: at most 30 bytes are kept in half the memory of 31.
local function read_reservation(record)
  local state, user, quantity, number = string.match(record, '^([^|]*)|([^|]*)|(%d+)|?(%d*)$')
  return state, user, tonumber(quantity), tonumber(number) or 0
end

local function reservation_record(state, user, quantity, number)
  return state .. '|' .. user .. '|' .. whole(quantity) .. (number and '|' .. whole(number) or '')
end

-- When the hold or the unpaid order of this tail lapses; 0 where it is neither.
local function deadline_of(deadlines, tail)
  return tonumber(redis.call('ZSCORE', deadlines, tail) or 0)
end

-- A user's record: units not yet returned|tail of the reservation that is still alive, or nothing
local function read_user(record)
  if not record then return 0, '' end
  local taken, alive = string.match(record, '^(%d+)|(.*)$')
  return tonumber(taken), alive
end

-- `quantity` units that `user` had through reservation `tail` are returned; they may try anew.
local function return_units(users, user, tail, quantity)
  local taken, alive = read_user(redis.call('HGET', users, user))
  if alive == tail then alive = '' end
  taken = math.max(taken - quantity, 0)
  if taken == 0 and alive == '' then
    redis.call('HDEL', users, user)
  else
    redis.call('HSET', users, user, whole(taken) .. '|' .. alive)
  end
end

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

-- Lets the alarm lapse at that moment. One that stands earlier stays: whoever hears it looks again.
-- The key itself says when that is; a note of it beside the key would outlive a key that was lost.
local function set_alarm(alarm, at)
  at = math.max(at, now + 10)
  local left = redis.call('PTTL', alarm)
  if left < 0 or now + left > at then redis.call('SET', alarm, '', 'PX', whole(at - now)) end
end

-- Points the alarm at the lane's next moment.
local function arm(lane, deadlines, alarm)
  local known = redis.call('HMGET', lane, 'purge_at', 'waiting_since', 'outbox_since')
  local at = tonumber(known[1])
  -- Past the purge's time something is still unsettled: look again in a while.
  if at <= now then at = now + PURGE_PATIENCE_MS end
  local first = redis.call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')[2]
  if first then at = math.min(at, tonumber(first)) end
  if known[2] then at = math.min(at, tonumber(known[2]) + QUEUE_PATIENCE_MS) end
  if known[3] then at = math.min(at, tonumber(known[3]) + OUTBOX_PATIENCE_MS) end
  set_alarm(alarm, at)
end

-- Rings for the queue if somebody waits in it, because stock or the item came back.
local function ring_grant(queue)
  if redis.call('EXISTS', queue) == 1 then redis.call('PUBLISH', grant_doorbell, this_lane) end
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

-- Counts `count` of `name` in the time series, in buckets of ten seconds.
local function count_in_series(series, name, count)
  if count > 0 then
    redis.call('HINCRBY', series, whole(math.floor(now / 10000) * 10000) .. ':' .. name, count)
  end
end


-- Ends a pause: who waited meanwhile is next.
local function resume(lane, queue, deadlines, alarm)
  redis.call('HSET', lane, 'switch', 'open')
  if redis.call('EXISTS', queue) == 1 then redis.call('HSET', lane, 'waiting_since', whole(now)) end
  ring_grant(queue)
  arm(lane, deadlines, alarm)
end

-- Gives the lane its limits from ARGV[first] on, unless it has those of younger rules: version of the shop's rules and of
-- the item's, limits as the lane keeps them, queue factor, '1' if the rules pause it. Says whether it has them now.
local function set_limits(lane, queue, deadlines, alarm, first)
  local known = redis.call('HMGET', lane, 'shop_rules', 'item_rules', 'switch', 'paused_by_rules')
  local shop, item, paused = tonumber(ARGV[first]), tonumber(ARGV[first + 1]), ARGV[first + 4] == '1'
  if shop < tonumber(known[1] or 0) or item < tonumber(known[2] or 0) then return false end
  redis.call('HSET', lane, 'shop_rules', whole(shop), 'item_rules', whole(item), 'limits', ARGV[first + 2],
    'queue_factor', ARGV[first + 3])
  if paused and not known[4] and known[3] == 'open' then
    redis.call('HSET', lane, 'switch', 'paused', 'paused_by_rules', '1')
  elseif not paused and known[4] then
    redis.call('HDEL', lane, 'paused_by_rules')
    if known[3] == 'paused' then resume(lane, queue, deadlines, alarm) end
  end
  return true
end

-- Notes what an operator changed, and what was before and is after it, both as JSON. It waits in the lane until the
-- shop's log has it. Its number never comes twice, even where the lane was lost and made anew.
local function note_change(lane, changes, members, before, after)
  if members == '' then return end
  local number = math.max(tonumber(redis.call('HGET', lane, 'last_change') or 0) + 1, now * 1000)
  redis.call('HSET', lane, 'last_change', whole(number))
  redis.call('RPUSH', changes, whole(number) .. '|{"at":' .. whole(now) .. ',' .. members .. ',"before":' .. before
    .. ',"after":' .. after .. '}')
end
