-- Shows an order with its contact, address and note.
-- KEYS  1 orders  2 details
-- ARGV  5 tail  6 user, or '' for the operator
-- Replies
--   {'found', order…, details or '' if they are erased}  {'not_found'}
local orders, details = KEYS[1], KEYS[2]
local tail, user = ARGV[5], ARGV[6]

local record = redis.call('HGET', orders, tail)
if not record then return {'not_found'} end
local order = read_order(record)
if user ~= '' and order.user ~= user then return {'not_found'} end
local reply = order_reply('found', order)
reply[#reply + 1] = redis.call('HGET', details, tail) or ''
return reply
