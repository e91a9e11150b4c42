#!lua
-- Decide, once and for ever, that a proposed user becomes nobody, or stands for somebody who is known already.
--
-- One script, so that of "becomes a person" (person.lua), "stands for another" and "becomes nobody" only one happens.
--
-- KEYS  1 person (hash)   2 fence (string)
-- ARGV  1 user for whom it stands, "" when it becomes nobody   2 version at which the token was verified, "" for operators
--       3 how long nobody is remembered, ms: longer than any write of theirs may be under way
-- Returns 1, also when that was decided before, or 0 when something else was; or the error MISSING, STALE n
if ARGV[2] ~= '' then
  local fence = redis.call('GET', KEYS[2])
  if not fence then return redis.error_reply('MISSING') end
  if tonumber(ARGV[2]) < tonumber(fence) then return redis.error_reply('STALE ' .. fence) end
end
local held = redis.call('HMGET', KEYS[1], 'revision', 'moved', 'erased')
if held[1] or held[3] then return 0 end
if held[2] then return held[2] == ARGV[1] and 1 or 0 end
redis.call('HSET', KEYS[1], 'moved', ARGV[1])
if ARGV[1] == '' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
