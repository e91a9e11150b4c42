#!lua
-- Raise a partition's fence. It never falls.
--
-- KEYS  1 fence (string)
-- ARGV  1 version
-- Returns the fence as it is now
local held = tonumber(redis.call('GET', KEYS[1]) or '-1')
if held < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1])
  return tonumber(ARGV[1])
end
return held
