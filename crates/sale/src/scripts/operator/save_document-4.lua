-- Saves a document of the catalogue if its version follows the saved one, and logs which operator changed it.
-- KEYS  1 documents  2 log  3 kept answers  4 unfinished
-- ARGV  5 id  6 the version that must be saved now, 0 for none  7 the new version  8 the document
--       9 members of the operator's change, or ''  10 how many entries the log keeps
--       11 idempotency key, or ''  12 digest of the request  13 the answer to keep under the key
--       14 a marker that stays in `unfinished` until the document has reached its lane, or ''
-- Replies
--   {'saved'}  {'version_mismatch', the saved version, 0 for none}
--   {'repeated', the kept answer} saved before under this key  {'key_reused'} the key belongs to another request
local documents, log, kept, unfinished = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, expected, version, document, members = ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9]
local key, digest, answer = ARGV[11], ARGV[12], ARGV[13]

local before, reused = first_answer(kept, key, digest)
if reused then return {'key_reused'} end
if before then return {'repeated', before} end

local there = redis.call('HGET', documents, id)
local current = there and tonumber(string.match(there, '^(%d+)|')) or 0
if current ~= expected then return {'version_mismatch', current} end
redis.call('HSET', documents, id, version .. '|' .. document)
keep_answer(kept, key, digest, answer)
if ARGV[14] ~= '' then redis.call('SADD', unfinished, ARGV[14]) end
if members ~= '' then
  redis.call('XADD', log, 'MAXLEN', ARGV[10], '*', 'entry', '{"at":' .. integer(now) .. ',' .. members .. ',"before":'
    .. integer(current) .. ',"after":' .. version .. '}')
end
return {'saved'}
