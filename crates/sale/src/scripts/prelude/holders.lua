-- Stands before the scripts that give units to shoppers, and the one that shows who got some.
--
-- `holders` is a Bloom filter of the shoppers who got units. It misses none of them, and takes few others for one. Its parts have
-- 8 KiB, so that a part is read in one piece. The SHA-1 digest of a shopper's id names the part and three bits in it; `holders.rs`
-- computes the same.
-- A shopper who gave the units back stays in the filter. After many returns, and for much more stock, `show_holders` makes the
-- filter again from `users`, page by page. Meanwhile the next filter stands behind the present one, and shoppers are noted in both.
-- Fields of the lane: holder_parts, the parts of the filter; holder_notes, how often a shopper was noted in it; and next_parts,
-- next_notes and next_cursor of the next filter. Without holder_parts nobody is noted, and the filter is made from `users` when it
-- is asked for.
local PART_BYTES, SHOPPERS_PER_PART, MOST_PARTS = 8192, 4096, 256

-- How many parts a lane of so many units needs: two bytes for each unit, up to 2 MiB.
local function parts_for(total)
  return math.min(math.max(math.ceil(total / SHOPPERS_PER_PART), 1), MOST_PARTS)
end

-- Notes a shopper in the filter of `parts` parts that begins at `first_part`.
local function note_in(holders, first_part, parts, digest)
  local base = (first_part + tonumber(string.sub(digest, 1, 8), 16) % parts) * PART_BYTES * 8
  -- Three commands cost less than one BITFIELD, and a fourth bit would cost more than the strangers that it keeps away.
  redis.call('SETBIT', holders, base + tonumber(string.sub(digest, 9, 12), 16), '1')
  redis.call('SETBIT', holders, base + tonumber(string.sub(digest, 13, 16), 16), '1')
  redis.call('SETBIT', holders, base + tonumber(string.sub(digest, 17, 20), 16), '1')
end

-- Notes that these shoppers got units of the lane.
local function note_holders(lane, holders, shoppers)
  if #shoppers == 0 then return end
  local parts, next_parts = unpack(redis.call('HMGET', lane, 'holder_parts', 'next_parts'))
  parts, next_parts = tonumber(parts), tonumber(next_parts)
  for _, shopper in ipairs(shoppers) do
    local digest = redis.sha1hex(shopper)
    if parts then note_in(holders, 0, parts, digest) end
    if next_parts then note_in(holders, parts or 0, next_parts, digest) end
  end
  if parts then redis.call('HINCRBY', lane, 'holder_notes', #shoppers) end
  if next_parts then redis.call('HINCRBY', lane, 'next_notes', #shoppers) end
end

-- Begins a lane's filter, with nobody in it.
local function begin_holders(lane, holders, total)
  redis.call('DEL', holders)
  redis.call('HSET', lane, 'holder_parts', integer(parts_for(total)), 'holder_notes', 0)
  redis.call('HDEL', lane, 'next_parts', 'next_notes', 'next_cursor')
end
