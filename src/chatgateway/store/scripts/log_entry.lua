#!lua
-- Write a control-log entry that changes no record: a person signed out, or an entry that the store has lost.
--
-- KEYS  1 version (hash)   2 control log (stream)
-- ARGV  1 entry id   2 version that must be exceeded   3... field, value of the entry
-- Returns the entry's version: of the one that is there already when the id is known among the last 1,000
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1000)) do
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'entry' and entry[2][i + 1] == ARGV[1] then return tonumber(string.match(entry[1], '^(%d+)')) end
  end
end
local version = redis.call('HINCRBY', KEYS[1], 'reserved', 1)
if version <= tonumber(ARGV[2]) then
  version = tonumber(ARGV[2]) + 1
  redis.call('HSET', KEYS[1], 'reserved', version)
end
local fields = {'entry', ARGV[1]}
for i = 3, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('XADD', KEYS[2], version .. '-0', unpack(fields))
return version
