-- Claims a batch of pictures for challenges, for one of those who read it.
-- KEYS  1 batches that were claimed of late
-- ARGV  5 batch  6 how long the set is kept from its first member, ms
-- Replies
--   {'claimed'}  {'gone'}
local claimed = KEYS[1]
local batch, kept = ARGV[5], ARGV[6]

if redis.call('SADD', claimed, batch) == 0 then return {'gone'} end
-- It only has to outlive those who read the batch before its first reader deleted it.
if redis.call('PTTL', claimed) < 0 then redis.call('PEXPIRE', claimed, kept) end
return {'claimed'}
