#!lua
-- Decide that an adoption is undone. The anonymous visitor stays dead, and is not adopted again.
--
-- KEYS  1 what became of the anonymous visitor (hash)   2 fence (string)   3 the account's marks (hash)
--       4 adoptions under way (zset)
-- ARGV  1 version carried, "" for an operator, who is asked for neither session nor time   2 account   3 session
--       4 signed_at of the session   5 by whom   6 at most so long after the adoption, ms   7 its name among those
--       under way
-- Returns the instant of the decision, the first one's when it is asked again; or the error MISSING, STALE n,
-- WITHDRAWN why, REFUSED reason, CONFLICT while the adoption itself is not finished
if ARGV[1] ~= '' then
  local fence = redis.call('GET', KEYS[2])
  if not fence then return redis.error_reply('MISSING') end
  if tonumber(ARGV[1]) < tonumber(fence) then return redis.error_reply('STALE ' .. fence) end
  local marks = redis.call('HMGET', KEYS[3], '*', 'blocked', ARGV[3], 'erased')
  if marks[4] then return redis.error_reply('WITHDRAWN erased') end
  if marks[2] then return redis.error_reply('WITHDRAWN blocked') end
  if marks[1] and tonumber(ARGV[4]) <= tonumber(marks[1]) then return redis.error_reply('WITHDRAWN signed_out') end
  if marks[3] then return redis.error_reply('WITHDRAWN ' .. marks[3]) end
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local held = redis.call('HMGET', KEYS[1], 'state', 'account', 'at', 'undone_at')
if not held[1] or held[1] == 'abandoned' then return redis.error_reply('REFUSED unknown') end
if ARGV[1] ~= '' and held[2] ~= ARGV[2] then return redis.error_reply('REFUSED not_yours') end
if held[4] then return tonumber(held[4]) end
if held[1] == 'committed' then return redis.error_reply('CONFLICT') end
if ARGV[1] ~= '' and now - tonumber(held[3]) > tonumber(ARGV[6]) then return redis.error_reply('REFUSED too_late') end
local stamp = string.format('%.0f', now)
redis.call('HSET', KEYS[1], 'state', 'undoing', 'undone_at', stamp, 'undone_by', ARGV[5])
redis.call('ZADD', KEYS[4], stamp, ARGV[7])
return now
