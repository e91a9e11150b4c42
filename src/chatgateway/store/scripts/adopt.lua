#!lua
-- Commit an adoption: an anonymous visitor's conversations become one account's, and the visitor is dead from now on.
--
-- One script, so that of any number of adoptions the first wins, and no word of the anonymous visitor comes after it.
-- Without the commit it notes who signed in first, and says what adopting would keep.
--
-- KEYS  1 what became of the anonymous visitor (hash)   2 fence (string)   3 the account's marks (hash)
--       4 the anonymous visitor's marks (hash)   5 their conversations (zset)   6 adoptions under way (zset)
-- ARGV  1 version carried   2 account   3 session   4 signed_at of the session   5 project   6 anonymous visitor
--       7 kid that vouched   8 "1" to commit   9 something was said within so many ms   10 conversations at most
--       11 key prefix of conversations   12 how long the note of who signed in first is needed, ms
--       13 how long the receipt and the visitor's death are, ms   14... conversations that the account's list names
-- Returns {state, account, session, kid, at, undone_at, undone_by, conversation...}, the state "" when nothing is
-- committed; or the error MISSING, STALE n, WITHDRAWN why, REFUSED reason, CONFLICT when one was begun that the
-- account's list does not name: whoever erases the account looks there
local account, now = ARGV[2], redis.call('TIME')
now = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local fence = redis.call('GET', KEYS[2])
if not fence then return redis.error_reply('MISSING') end
if tonumber(ARGV[1]) < tonumber(fence) then return redis.error_reply('STALE ' .. fence) end
local marks = redis.call('HMGET', KEYS[3], '*', 'blocked', ARGV[3], 'erased')
if marks[4] then return redis.error_reply('WITHDRAWN erased') end
if marks[2] then return redis.error_reply('WITHDRAWN blocked') end
if marks[1] and tonumber(ARGV[4]) <= tonumber(marks[1]) then return redis.error_reply('WITHDRAWN signed_out') end
if marks[3] then return redis.error_reply('WITHDRAWN ' .. marks[3]) end

local held = redis.call('HMGET', KEYS[1], 'state', 'account', 'session', 'kid', 'at', 'undone_at', 'undone_by',
  'conversations', 'signed', 'signed_at')
if held[1] then
  if held[2] ~= account then return redis.error_reply('REFUSED taken') end
  if held[1] ~= 'committed' and held[1] ~= 'finished' then return redis.error_reply('REFUSED undone') end
  -- Asked again, by another tab or because the answer was lost.
  local answer = {held[1], held[2], held[3], held[4], held[5], held[6] or '0', held[7] or ''}
  for conversation in string.gmatch(held[8], '%S+') do answer[#answer + 1] = conversation end
  return answer
end
if held[9] and held[9] ~= account then return redis.error_reply('REFUSED taken') end
local dead = redis.call('HMGET', KEYS[4], '*', 'blocked', 'erased')
if dead[1] or dead[2] or dead[3] then return redis.error_reply('REFUSED signed_out') end

local kept, said_at, signed_at = {}, 0, tonumber(held[10] or now)
for _, conversation in ipairs(redis.call('ZREVRANGE', KEYS[5], 0, tonumber(ARGV[10]) - 1)) do
  local meta = redis.call('HMGET', ARGV[11] .. conversation .. ':m', 'project', 'visitor', 'pending', 'said_at', 'created_at')
  if meta[1] == ARGV[5] and meta[2] == ARGV[6] then
    if meta[3] and meta[3] ~= account then return redis.error_reply('REFUSED taken') end
    -- Only what was there when the account signed in: what somebody with the same credential began since are words
    -- that nobody has seen.
    if tonumber(meta[5] or '0') <= signed_at then
      kept[#kept + 1] = conversation
      said_at = math.max(said_at, tonumber(meta[4] or '0'))
    end
  end
end
if not held[9] then
  redis.call('HSET', KEYS[1], 'signed', account, 'signed_at', string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], ARGV[12])
end
if #kept == 0 then return redis.error_reply('REFUSED nothing') end
if now - said_at > tonumber(ARGV[9]) then return redis.error_reply('REFUSED inactive') end
local stamp = string.format('%.0f', now)
local answer = {'', account, ARGV[3], ARGV[7], stamp, '0', '', unpack(kept)}
if ARGV[8] ~= '1' then return answer end
local named = {}
for i = 14, #ARGV do named[ARGV[i]] = true end
for _, conversation in ipairs(kept) do
  if not named[conversation] then return redis.error_reply('CONFLICT') end
end

if tonumber(ARGV[1]) > tonumber(fence) then redis.call('SET', KEYS[2], ARGV[1]) end
answer[1] = 'committed'
redis.call('HSET', KEYS[1], 'state', 'committed', 'account', account, 'session', ARGV[3], 'kid', ARGV[7], 'at', stamp,
  'conversations', table.concat(kept, ' '))
redis.call('PEXPIRE', KEYS[1], ARGV[13])
redis.call('HSET', KEYS[4], '*', stamp)
redis.call('PEXPIRE', KEYS[4], ARGV[13])
redis.call('ZADD', KEYS[6], stamp, ARGV[5] .. '/' .. ARGV[6])
return answer
