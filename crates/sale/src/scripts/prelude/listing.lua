-- Stands before the scripts that change documents of the catalogue. It keeps the lists of sales and items, and the revision
-- that says whether what is listed has changed. A list names documents, so that nobody has to read all of them.

-- The version of a saved document; 0 if there is none.
local function version_of(documents, id)
  local there = redis.call('HGET', documents, id)
  return there and tonumber(string.match(there, '^(%d+)|')) or 0
end

-- Puts a sale into the list where it belongs.
local function list_sale(sales_by_start, archived_sales, id, starts_at, is_archived)
  redis.call('ZREM', is_archived and sales_by_start or archived_sales, id)
  redis.call('ZADD', is_archived and archived_sales or sales_by_start, starts_at, id)
end

-- Puts an item, as `sale/item`, among the items of its sale, and among the listed ones if it is one. Returns whether what is
-- listed has changed.
local function list_item(items_by_sale, listed_items, place, is_listed)
  redis.call('ZADD', items_by_sale, 0, place)
  if is_listed then
    redis.call('SADD', listed_items, place)
    return true
  end
  return redis.call('SREM', listed_items, place) == 1
end

-- How many items a sale has.
local function count_items(items_by_sale, sale)
  return redis.call('ZLEXCOUNT', items_by_sale, '[' .. sale .. '/', '(' .. sale .. '0')
end

-- Tells the readers that what is listed has changed. The revision is never below the clock, so a Redis that comes back from an
-- old copy does not repeat a number. Without a revision the lists are not made yet, and readers make them.
local function bump(revision)
  local before = redis.call('GET', revision)
  if before then redis.call('SET', revision, integer(math.max(tonumber(before) + 1, now))) end
end
