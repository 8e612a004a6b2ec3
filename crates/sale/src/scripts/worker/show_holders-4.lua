-- Shows the part of the filter `holders` that a shopper belongs to, if the lane is sold out. Shoppers in the filter may have a
-- reservation, and must reach Redis; all others can be refused without it. The cost is the same for ten holders and a million.
-- If the filter needs to be made again, each call does a page of that.
-- KEYS  1 lane  2 users  3 queue  4 holders
-- ARGV  5 user  6 how many shoppers to look at while the filter is made again, roughly
-- Replies
--   {'sold_out', whether the filter is being made again 0/1, parts of the filter, number of the part, its bits}
--   {'making'} there is no filter yet: call again
--   {'available'} units are free, or shoppers wait in the queue, whom the filter does not have, or there is no such lane
local lane, users, queue, holders = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local user, most = ARGV[5], ARGV[6]

local available, total, parts, notes, next_parts, cursor =
  unpack(redis.call('HMGET', lane, 'available', 'total', 'holder_parts', 'holder_notes', 'next_parts', 'next_cursor'))
if available ~= '0' or redis.call('EXISTS', queue) == 1 then return {'available'} end
parts, next_parts = tonumber(parts), tonumber(next_parts)

-- Notes of shoppers who have nothing any more may fill the filter by as much as it was made for.
local wanted = parts_for(tonumber(total))
local stale = tonumber(notes or 0) - redis.call('HLEN', users)
if not next_parts and (not parts or wanted >= 2 * parts or stale > parts * SHOPPERS_PER_PART) then
  if not parts then redis.call('DEL', holders) end
  next_parts, cursor = wanted, '0'
  redis.call('HSET', lane, 'next_parts', integer(wanted), 'next_notes', 0)
end
if next_parts then
  -- HSCAN shows everybody who has something from the first page to the last. All others who got units meanwhile were noted.
  local page = redis.call('HSCAN', users, cursor, 'COUNT', most)
  cursor = page[1]
  for at = 1, #page[2], 2 do note_in(holders, parts or 0, next_parts, redis.sha1hex(page[2][at])) end
  local next_notes = redis.call('HINCRBY', lane, 'next_notes', #page[2] / 2)
  if cursor == '0' then
    redis.call('SET', holders, redis.call('GETRANGE', holders, (parts or 0) * PART_BYTES, -1))
    redis.call('HSET', lane, 'holder_parts', integer(next_parts), 'holder_notes', integer(next_notes))
    redis.call('HDEL', lane, 'next_parts', 'next_notes', 'next_cursor')
    parts, next_parts = next_parts, nil
  else
    redis.call('HSET', lane, 'next_cursor', cursor)
  end
end
if not parts then return {'making'} end

local part = tonumber(string.sub(redis.sha1hex(user), 1, 8), 16) % parts
return {'sold_out', next_parts and 1 or 0, parts, part,
  redis.call('GETRANGE', holders, part * PART_BYTES, (part + 1) * PART_BYTES - 1)}
