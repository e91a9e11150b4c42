#!lua
-- Delete one conversation whole, take it out of every list of its partition, and tell whoever shows it.
--
-- KEYS  1 meta (hash)   2... its other keys, then the lists (zsets)
-- ARGV  1 conversation   2 how many of the keys are its own   3 PUBLISH or SPUBLISH   4 event channel
--       5 what is told there   6 hint channel
-- Returns 1. Without its meta nobody can write to it any more: see append.lua, note.lua.
local own = tonumber(ARGV[2])
for i = 1, #KEYS do
  if i <= own then
    redis.call('DEL', KEYS[i])
  else
    redis.call('ZREM', KEYS[i], ARGV[1])
  end
end
redis.call(ARGV[3], ARGV[4], ARGV[5])
redis.call(ARGV[3], ARGV[6], ARGV[1])
return 1
