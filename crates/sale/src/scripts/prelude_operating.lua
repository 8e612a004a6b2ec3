-- Put before the scripts that an operator's changes run.

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
