-- Saves a document of the catalogue if its version follows the saved one, and logs which operator changed it.
-- KEYS  1 documents  2 log
-- ARGV  5 id  6 the version that must be saved now, 0 for none  7 the new version  8 the document
--       9 members of the operator's change, or ''  10 how many entries the log keeps
-- Replies
--   {'saved'}  {'version_mismatch', the saved version, 0 for none}
local documents, log = KEYS[1], KEYS[2]
local id, expected, version, document, members = ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9]

local there = redis.call('HGET', documents, id)
local current = there and tonumber(string.match(there, '^(%d+)|')) or 0
if current ~= expected then return {'version_mismatch', current} end
redis.call('HSET', documents, id, version .. '|' .. document)
if members ~= '' then
  redis.call('XADD', log, 'MAXLEN', ARGV[10], '*', 'entry', '{"at":' .. integer(now) .. ',' .. members .. ',"before":'
    .. integer(current) .. ',"after":' .. version .. '}')
end
return {'saved'}
