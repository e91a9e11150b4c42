#!lua
-- List conversations among a person's own before they are: what may not be read is not shown.
--
-- KEYS  1 the person's conversations (zset)   2 their marks (hash)
-- ARGV  1 when   2... conversations
-- Returns 1, or the error WITHDRAWN erased: nothing of an erased person comes back
if redis.call('HEXISTS', KEYS[2], 'erased') == 1 then return redis.error_reply('WITHDRAWN erased') end
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'NX', ARGV[1], ARGV[i]) end
return 1
