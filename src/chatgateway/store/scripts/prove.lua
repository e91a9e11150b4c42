#!lua
-- Remember a code for a visitor, in the place of the one before, if nobody has gone too far, and count what is sent.
--
-- One script, so that of many that ask at once no more are sent than may be. An address that had its share is not
-- refused: what is remembered then is a code that no answer meets, and the caller sends nothing.
--
-- KEYS  1 proof (hash)   2 sent from the network (list)   3 sent by everybody (list)   4 sent to the address (list)
-- ARGV  1 email   2 digest of the code   3 its life in ms   4 and 5 the network's ceiling: max, window in ms
--       6 and 7 everybody's   8... the address's, the longest window last
-- Returns {"sent", 0}, {"silent", 0}, or {"network" or "everybody", ms to wait}: nothing was written then
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- Each list holds the last instants, the newest first: the max-th of them is too young, or another one may be.
local function wait(key, max, window)
  local at = redis.call('LINDEX', key, max - 1)
  return at and math.max(0, tonumber(at) + window - now) or 0
end

local function count(key, max, window)
  redis.call('LPUSH', key, string.format('%.0f', now))
  redis.call('LTRIM', key, 0, max - 1)
  redis.call('PEXPIRE', key, window)
end

local by_network = wait(KEYS[2], tonumber(ARGV[4]), tonumber(ARGV[5]))
if by_network > 0 then return {'network', by_network} end
local by_everybody = wait(KEYS[3], tonumber(ARGV[6]), tonumber(ARGV[7]))
if by_everybody > 0 then return {'everybody', by_everybody} end
local silent = false
for i = 8, #ARGV, 2 do
  silent = silent or wait(KEYS[4], tonumber(ARGV[i]), tonumber(ARGV[i + 1])) > 0
end
redis.call('HSET', KEYS[1], 'email', ARGV[1], 'digest', silent and '' or ARGV[2], 'tries', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
count(KEYS[2], tonumber(ARGV[4]), tonumber(ARGV[5]))
if silent then return {'silent', 0} end
count(KEYS[3], tonumber(ARGV[6]), tonumber(ARGV[7]))
count(KEYS[4], tonumber(ARGV[#ARGV - 1]), tonumber(ARGV[#ARGV]))
return {'sent', 0}
