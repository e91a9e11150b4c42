#!lua
-- Record that a session is live on behalf of a person, unless trust in it was withdrawn meanwhile.
--
-- Never reads {ctl}: what is withdrawn there reaches this partition as its fence.
--
-- KEYS  1 fence (string)   2 the person's session rows (hash)   3 the person's marks (hash)
-- ARGV  1 version carried   2 session   3 signed_at (0: now)   4 row, JSON from its second field on
--       5 instant before which rows are dropped
-- Returns signed_at, or the error MISSING, STALE n, WITHDRAWN why
local fence = redis.call('GET', KEYS[1])
if not fence then return redis.error_reply('MISSING') end
if tonumber(ARGV[1]) < tonumber(fence) then return redis.error_reply('STALE ' .. fence) end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local signed_at = tonumber(ARGV[3])
if signed_at == 0 then signed_at = now end
local marks = redis.call('HMGET', KEYS[3], '*', 'blocked', ARGV[2])
if marks[2] then return redis.error_reply('WITHDRAWN blocked') end
if marks[1] and signed_at <= tonumber(marks[1]) then return redis.error_reply('WITHDRAWN signed_out') end
if marks[3] then return redis.error_reply('WITHDRAWN ' .. marks[3]) end
if tonumber(ARGV[1]) > tonumber(fence) then redis.call('SET', KEYS[1], ARGV[1]) end
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then
  for _, session in ipairs(redis.call('HKEYS', KEYS[2])) do
    local row = redis.call('HGET', KEYS[2], session)
    local bound_at = tonumber(string.match(row, '^{"bound_at":(%d+)'))
    if bound_at and bound_at < tonumber(ARGV[5]) then redis.call('HDEL', KEYS[2], session) end
  end
end
local row = string.format('{"bound_at":%.0f,"signed_at":%.0f,%s', now, signed_at, ARGV[4])
redis.call('HSET', KEYS[2], ARGV[2], row)
return signed_at
