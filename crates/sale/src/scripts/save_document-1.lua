-- Keeps a document of the catalogue if its version follows the one that is there.
-- KEYS  1 documents
-- ARGV  5 id  6 the version that must be there, 0 for none  7 the new version  8 the document
-- Replies
--   {'saved'}  {'version_mismatch', version there, 0 for none}
local documents = KEYS[1]
local id, expected, version, document = ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]

local there = redis.call('HGET', documents, id)
local current = there and tonumber(string.match(there, '^(%d+)|')) or 0
if current ~= expected then return {'version_mismatch', current} end
redis.call('HSET', documents, id, version .. '|' .. document)
return {'saved'}
