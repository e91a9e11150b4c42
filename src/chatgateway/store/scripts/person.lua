#!lua
-- Write what is known of a person, if nobody else did since it was read, and list the person.
--
-- One script, so that a person is listed exactly when recorded. A repeat finds its own value and answers as before.
--
-- KEYS  1 person (hash)   2 people of this partition (zset)   3 fence (string)
-- ARGV  1 expected revision   2 value   3 user   4 updated_at   5 version at which the token was verified, "" for operators
-- Returns 1, or 0 when the record has changed since; or the error MISSING, STALE n
if ARGV[5] ~= '' then
  local fence = redis.call('GET', KEYS[3])
  if not fence then return redis.error_reply('MISSING') end
  if tonumber(ARGV[5]) < tonumber(fence) then return redis.error_reply('STALE ' .. fence) end
end
local revision = redis.call('HGET', KEYS[1], 'revision') or '0'
if revision ~= ARGV[1] then
  return redis.call('HGET', KEYS[1], 'value') == ARGV[2] and 1 or 0
end
redis.call('HSET', KEYS[1], 'revision', ARGV[1] + 1, 'value', ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
return 1
