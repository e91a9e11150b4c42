#!lua
-- Write what is known of a person, if nobody else did since it was read, and list the person.
--
-- One script, so that a person is listed and found exactly when recorded. A repeat finds its own value and answers as
-- before. Who was erased, or was proposed and became nobody, is never recorded again.
--
-- KEYS  1 person (hash)   2 people of this partition (zset)   3 fence (string)   4 what they are found by (zset)
-- ARGV  1 expected revision   2 value   3 user   4 updated_at   5 version at which the token was verified, "" for operators
--       6 what the person is found by: one entry a line
-- Returns 1, or 0 when the record has changed since, -1 when they were erased, -2 when they became nobody; or the error
-- MISSING, STALE n
if ARGV[5] ~= '' then
  local fence = redis.call('GET', KEYS[3])
  if not fence then return redis.error_reply('MISSING') end
  if tonumber(ARGV[5]) < tonumber(fence) then return redis.error_reply('STALE ' .. fence) end
end
local held = redis.call('HMGET', KEYS[1], 'revision', 'value', 'index', 'erased', 'moved')
if held[4] then return -1 end
if held[5] then return -2 end
if (held[1] or '0') ~= ARGV[1] then return held[2] == ARGV[2] and 1 or 0 end
redis.call('HSET', KEYS[1], 'revision', ARGV[1] + 1, 'value', ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
local before = held[3] or ''
if before ~= ARGV[6] then
  for word in string.gmatch(before, '[^\n]+') do redis.call('ZREM', KEYS[4], word .. '\n' .. ARGV[3]) end
  for word in string.gmatch(ARGV[6], '[^\n]+') do redis.call('ZADD', KEYS[4], 0, word .. '\n' .. ARGV[3]) end
  redis.call('HSET', KEYS[1], 'index', ARGV[6])
end
return 1
