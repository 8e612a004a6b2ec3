-- Saves a document of the catalogue if its version follows the saved one, and logs which operator changed it.
-- KEYS  1 documents  2 log  3 kept answers  4 unfinished  5 sales by start  6 archived sales  7 items by sale  8 listed items
--       9 revision  10 sales
-- ARGV  5 id  6 the version that must be saved now, 0 for none  7 the new version  8 the document
--       9 members of the operator's change, or ''  10 how many entries the log keeps
--       11 idempotency key, or ''  12 digest of the request  13 the answer to keep under the key
--       14 a marker that stays in `unfinished` until the document has reached its lane, or ''
--       15 'sale', 'item', or '' for a document that no list has  16 the sale's start, or the item's sale
--       17 '1' if the sale is archived, or the item listed
-- Replies
--   {'saved'}  {'version_mismatch', the saved version, 0 for none}
--   {'repeated', the kept answer} saved before under this key  {'key_reused'} the key belongs to another request
--   {'no_sale'} a new item's sale is gone or archived
local documents, log, kept, unfinished = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local sales_by_start, archived_sales, items_by_sale, listed_items, revision, sales =
  KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local id, expected, version, document, members = ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9]
local key, digest, answer = ARGV[11], ARGV[12], ARGV[13]
local kind, place, flag = ARGV[15], ARGV[16], ARGV[17] == '1'

local before, reused = first_answer(kept, key, digest)
if reused then return {'key_reused'} end
if before then return {'repeated', before} end

local current = version_of(documents, id)
if current ~= expected then return {'version_mismatch', current} end
if kind == 'item' and current == 0
  and (redis.call('HEXISTS', sales, place) == 0 or redis.call('ZSCORE', archived_sales, place)) then
  return {'no_sale'}
end
redis.call('HSET', documents, id, version .. '|' .. document)
if kind == 'sale' then
  list_sale(sales_by_start, archived_sales, id, place, flag)
  if current > 0 then bump(revision) end
elseif kind == 'item' then
  if list_item(items_by_sale, listed_items, place .. '/' .. id, flag) then bump(revision) end
end
keep_answer(kept, key, digest, answer)
if ARGV[14] ~= '' then redis.call('SADD', unfinished, ARGV[14]) end
if members ~= '' then
  redis.call('XADD', log, 'MAXLEN', ARGV[10], '*', 'entry', '{"at":' .. integer(now) .. ',' .. members .. ',"before":'
    .. integer(current) .. ',"after":' .. version .. '}')
end
return {'saved'}
