-- Notes an order that a shopper just made, for the shopper's own list, until the order database has it.
-- KEYS  1 recent
-- ARGV  5 order id  6 how many to keep  7 how long to keep them, in milliseconds
-- Replies
--   {'noted'}
local recent = KEYS[1]
local order, most, keep_ms = ARGV[5], tonumber(ARGV[6]), ARGV[7]

redis.call('LREM', recent, 0, order)
redis.call('LPUSH', recent, order)
redis.call('LTRIM', recent, 0, most - 1)
redis.call('PEXPIRE', recent, keep_ms)
return {'noted'}
