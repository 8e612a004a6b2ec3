-- Stands before the scripts whose change an operator may send again under a key without making it twice.
--
-- The hash `kept` holds, for each key, number|moment|digest of the request|first answer. Beside it, `#<number>` holds the key
-- again, so that the oldest entry is found without a search. `@first` and `@next` are the numbers of the oldest entry and of
-- the next. An entry goes after a day, or earlier if there are too many. Entries do not expire by themselves, because every
-- key that expires is told on the alarm's channel.
local KEPT_MS, MOST_KEPT = 86400000, 1000

-- The first answer under this key, or nil if there is none; and whether the request of that answer was another one.
local function first_answer(kept, key, digest)
  local entry = key ~= '' and redis.call('HGET', kept, key)
  if not entry then return nil, false end
  local _, at, digest_before, answer = string.match(entry, '^(%d+)|(%d+)|(%x+)|(.*)$')
  if now - tonumber(at) >= KEPT_MS then return nil, false end
  return answer, digest_before ~= digest
end

-- Keeps the answer of a change that was made under this key, and forgets entries whose time is over.
local function keep_answer(kept, key, digest, answer)
  if key == '' then return end
  local first, number = unpack(redis.call('HMGET', kept, '@first', '@next'))
  first, number = tonumber(first or 1), tonumber(number or 1)
  redis.call('HSET', kept, key, integer(number) .. '|' .. integer(now) .. '|' .. digest .. '|' .. answer,
    '#' .. integer(number), key, '@next', integer(number + 1))
  while first < number do
    local oldest = redis.call('HGET', kept, '#' .. integer(first)) or ''
    local entry = redis.call('HGET', kept, oldest) or ''
    local its_number, at = string.match(entry, '^(%d+)|(%d+)|')
    -- A key that was used again after a day has a later number, too.
    local is_its_own = tonumber(its_number) == first
    if is_its_own and number - first < MOST_KEPT and now - tonumber(at) < KEPT_MS then break end
    if is_its_own then redis.call('HDEL', kept, oldest) end
    redis.call('HDEL', kept, '#' .. integer(first))
    first = first + 1
  end
  redis.call('HSET', kept, '@first', integer(first))
  redis.call('PEXPIRE', kept, KEPT_MS)
end
