#!lua
-- Withdraw trust in a person, or in one session of theirs, within one partition.
--
-- KEYS  1 the person's marks (hash)
-- ARGV  1 field: "*" (all sessions up to an instant), "blocked", "erased", or a session   2 value: the instant, or why
--       3 how long the mark is needed, ms (0: for ever)
-- Returns 1. Monotonic: an instant never moves back.
if ARGV[1] == '*' then
  local held = redis.call('HGET', KEYS[1], '*')
  if not held or tonumber(held) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], '*', ARGV[2]) end
else
  -- Of whoever is erased no other mark is needed, or kept.
  if ARGV[1] == 'erased' then redis.call('DEL', KEYS[1]) end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
local marks = redis.call('HMGET', KEYS[1], 'blocked', 'erased')
if marks[1] or marks[2] or tonumber(ARGV[3]) == 0 then
  redis.call('PERSIST', KEYS[1])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
