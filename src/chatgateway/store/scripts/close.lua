#!lua
-- Close a conversation for everybody who might write to it, before its keys are looked for and deleted.
--
-- KEYS  1 meta (hash)
-- ARGV  1 project   2 what stands in its place from now on: no session acts for it
-- Returns 1, or 0 when there is no such conversation, or none that is open
if redis.call('HGET', KEYS[1], 'project') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'project', ARGV[2])
return 1
