#!lua
-- Delete one conversation whole, and take it out of every list of its partition.
--
-- KEYS  1 meta (hash)   2... its other keys, then the lists (zsets)
-- ARGV  1 conversation   2 how many of the keys are its own
-- Returns 1. Without its meta nobody can write to it any more: see append.lua, note.lua.
local own = tonumber(ARGV[2])
for i = 1, #KEYS do
  if i <= own then
    redis.call('DEL', KEYS[i])
  else
    redis.call('ZREM', KEYS[i], ARGV[1])
  end
end
return 1
