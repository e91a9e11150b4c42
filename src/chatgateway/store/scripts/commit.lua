#!lua
-- Make control-log entries up to a version the truth, and ring the doorbell.
--
-- The caller has waited for every replica: an entry that a failover could lose is never applied by a node.
--
-- KEYS  1 version (hash)   2 control log (stream)
-- ARGV  1 version   2 id of the entry at that version   3 doorbell channel   4 PUBLISH or SPUBLISH
-- Returns the committed version, or the error CONFLICT when that entry is not there
local entry = redis.call('XRANGE', KEYS[2], ARGV[1] .. '-0', ARGV[1] .. '-0')[1]
local found = false
if entry then
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'entry' and entry[2][i + 1] == ARGV[2] then found = true end
  end
end
if not found then return redis.error_reply('CONFLICT') end
local committed = tonumber(redis.call('HGET', KEYS[1], 'committed') or '0')
if committed < tonumber(ARGV[1]) then
  committed = tonumber(ARGV[1])
  redis.call('HSET', KEYS[1], 'committed', ARGV[1])
end
redis.call(ARGV[4], ARGV[3], ARGV[1])
return committed
