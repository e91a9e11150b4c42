#!lua
-- Record that a session is live on behalf of a person, unless trust in it was withdrawn meanwhile.
--
-- Never reads {ctl}: what is withdrawn there reaches this partition as its fence.
--
-- KEYS  1 fence (string)   2 the person's session rows (hash)   3 the person's marks (hash)   4 the rows by age (zset)
-- ARGV  1 version carried   2 session   3 signed_at (0: now)   4 row, JSON from its third field on ("": only look)
--       5 instant before which rows are dropped   6 when the row was bound that this one was made from (0: from none)
-- Returns {bound_at, signed_at}, or the error MISSING, STALE n, WITHDRAWN why, CONFLICT
local fence = redis.call('GET', KEYS[1])
if not fence then return redis.error_reply('MISSING') end
if tonumber(ARGV[1]) < tonumber(fence) then return redis.error_reply('STALE ' .. fence) end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local signed_at = tonumber(ARGV[3])
if signed_at == 0 then signed_at = now end
local marks = redis.call('HMGET', KEYS[3], '*', 'blocked', ARGV[2], 'erased')
if marks[4] then return redis.error_reply('WITHDRAWN erased') end
if marks[2] then return redis.error_reply('WITHDRAWN blocked') end
if marks[1] and signed_at <= tonumber(marks[1]) then return redis.error_reply('WITHDRAWN signed_out') end
if marks[3] then return redis.error_reply('WITHDRAWN ' .. marks[3]) end
if tonumber(ARGV[1]) > tonumber(fence) then redis.call('SET', KEYS[1], ARGV[1]) end
if ARGV[4] == '' then return {now, signed_at} end
if ARGV[6] ~= '0' then
  -- Made from a row that was read: a refresh since, perhaps by another key, must not be undone.
  local held = redis.call('HGET', KEYS[2], ARGV[2])
  if not held or string.match(held, '^{"bound_at":(%d+)') ~= ARGV[6] then return redis.error_reply('CONFLICT') end
end
-- A few at a time: somebody with thousands of old rows must not hold everybody else up.
for _, old in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', '(' .. ARGV[5], 'LIMIT', 0, 20)) do
  redis.call('HDEL', KEYS[2], old)
  redis.call('ZREM', KEYS[4], old)
end
redis.call('HSET', KEYS[2], ARGV[2], string.format('{"bound_at":%.0f,"signed_at":%.0f,%s', now, signed_at, ARGV[4]))
redis.call('ZADD', KEYS[4], now, ARGV[2])
return {now, signed_at}
