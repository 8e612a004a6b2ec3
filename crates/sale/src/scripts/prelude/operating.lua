-- Stands, behind stock, before the scripts of an operator's changes.

-- Ends a pause. The shoppers who waited meanwhile are next.
local function resume(lane, queue, deadlines, alarm)
  redis.call('HSET', lane, 'switch', 'open')
  if redis.call('EXISTS', queue) == 1 then redis.call('HSET', lane, 'waiting_since', integer(now)) end
  ring_grant(queue)
  arm(lane, deadlines, alarm)
end

-- Writes the rules into the lane, unless the lane has newer ones. Returns whether it wrote them.
-- ARGV[first] to ARGV[first + 4]: version of the shop's rules, version of the item's rules, rates as the lane keeps them,
-- queue factor, '1' if the rules pause the lane.
local function set_rules(lane, queue, deadlines, alarm, first)
  local shop_version, item_version, rates, queue_factor, paused =
    tonumber(ARGV[first]), tonumber(ARGV[first + 1]), ARGV[first + 2], ARGV[first + 3], ARGV[first + 4] == '1'
  local shop_before, item_before, switch, paused_by_rules =
    unpack(redis.call('HMGET', lane, 'shop_rules', 'item_rules', 'switch', 'paused_by_rules'))
  if shop_version < tonumber(shop_before or 0) or item_version < tonumber(item_before or 0) then return false end
  redis.call('HSET', lane, 'shop_rules', integer(shop_version), 'item_rules', integer(item_version), 'rates', rates,
    'queue_factor', queue_factor)
  if paused and not paused_by_rules and switch == 'open' then
    redis.call('HSET', lane, 'switch', 'paused', 'paused_by_rules', '1')
  elseif not paused and paused_by_rules then
    redis.call('HDEL', lane, 'paused_by_rules')
    if switch == 'paused' then resume(lane, queue, deadlines, alarm) end
  end
  return true
end

-- Notes an operator's change with the values before and after it, both as JSON. The note waits in the lane until the shop's
-- log has it. Its number never repeats, even if the lane was lost and rebuilt.
local function note_change(lane, changes, members, before, after)
  if members == '' then return end
  local number = math.max(tonumber(redis.call('HGET', lane, 'last_change') or 0) + 1, now * 1000)
  redis.call('HSET', lane, 'last_change', integer(number))
  redis.call('RPUSH', changes, integer(number) .. '|{"at":' .. integer(now) .. ',' .. members .. ',"before":' .. before
    .. ',"after":' .. after .. '}')
end
