#!lua
-- Let an identifier name somebody else than it did, if nobody changed that meanwhile.
--
-- KEYS  1 identifier (string)   2 fence (string)
-- ARGV  1 user whom it names now, "" for nobody   2 user whom it shall name, "" for nobody
--       3 version at which the token was verified, "" for operators
-- Returns 1, also when it names them already, or 0 when it names another; or the error MISSING, STALE n
if ARGV[3] ~= '' then
  local fence = redis.call('GET', KEYS[2])
  if not fence then return redis.error_reply('MISSING') end
  if tonumber(ARGV[3]) < tonumber(fence) then return redis.error_reply('STALE ' .. fence) end
end
local held = redis.call('GET', KEYS[1]) or ''
if held == ARGV[2] then return 1 end
if held ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2])
end
return 1
