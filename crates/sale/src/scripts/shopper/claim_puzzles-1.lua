-- Gives a batch of pictures for challenges to the first function that asks for it.
-- KEYS  1 batches that were given lately
-- ARGV  5 batch  6 milliseconds to keep the set from its first member on
-- Replies
--   {'claimed'}  {'gone'}
local claimed = KEYS[1]
local batch, kept = ARGV[5], ARGV[6]

if redis.call('SADD', claimed, batch) == 0 then return {'gone'} end
-- The set must outlive only the functions that read the batch before the first of them deleted it.
if redis.call('PTTL', claimed) < 0 then redis.call('PEXPIRE', claimed, kept) end
return {'claimed'}
