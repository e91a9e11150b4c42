#!lua
-- Write a new account of a session, unless it was bound again since: whoever binds last has the last word.
--
-- KEYS  1 the person's session rows (hash)
-- ARGV  1 session   2 bound_at that the writer knows   3 row
-- Returns 1, or 0 when the row is gone or another connection's
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or string.match(held, '^{"bound_at":(%d+)') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
