-- Shows the first answer to an operator's change that was sent under a key.
-- KEYS  1 kept answers
-- ARGV  5 key  6 digest of the request
-- Replies
--   {'none'} no change was made under this key  {'repeated', the answer}  {'key_reused'} that was another request
local kept = KEYS[1]

local answer, reused = first_answer(kept, ARGV[5], ARGV[6])
if reused then return {'key_reused'} end
if answer then return {'repeated', answer} end
return {'none'}
