-- Stands before the scripts that end reservations.
--
-- The record of a reservation that ended is kept for ten minutes, so that its shopper can ask for it. The list `ended` has
-- seconds|tail of each, the oldest first. Every script that ends reservations forgets more of the oldest than it adds. So the lane
-- stays small, however often a shopper reserves and gives back.
local ENDED_KEPT_MS = 600000
local IS_ENDED = {released = true, expired = true, sold_out = true, rejected = true}

-- Notes that the reservations of these tails ended now.
local function note_ended(ended, tails)
  if #tails == 0 then return end
  local second = integer(math.ceil(now / 1000)) .. '|'
  local entries = {}
  for at, tail in ipairs(tails) do entries[at] = second .. tail end
  redis.call('RPUSH', ended, unpack(entries))
end

-- Forgets up to `most` reservations whose time is over.
local function forget_ended(reservations, ended, most)
  local over = {}
  for _, entry in ipairs(redis.call('LRANGE', ended, 0, most - 1)) do
    local second, tail = string.match(entry, '^(%d+)|(.*)$')
    if now < second * 1000 + ENDED_KEPT_MS then break end
    over[#over + 1] = tail
  end
  if #over == 0 then return end
  local gone = {}
  for at, record in ipairs(redis.call('HMGET', reservations, unpack(over))) do
    -- A rebuild may have found an order of it since.
    if record and IS_ENDED[read_reservation(record)] then gone[#gone + 1] = over[at] end
  end
  if #gone > 0 then redis.call('HDEL', reservations, unpack(gone)) end
  redis.call('LTRIM', ended, #over, -1)
end
