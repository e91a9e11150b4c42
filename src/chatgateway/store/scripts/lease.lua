#!lua
-- Renew a node's lease and say what it must know: the clock, the committed version and who lives.
--
-- KEYS  1 nodes (hash)   2 version (hash)   3 control log (stream)
-- ARGV  1 node   2 how long, ms (0: give the lease back)   3 what the node reports, JSON from its second field on
--       4 the version the node has applied   5 dead nodes are forgotten after, ms
-- Returns {now, committed, id of the entry at the applied version or "", last version written, nodes, flat}
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if tonumber(ARGV[2]) == 0 then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], string.format('{"until":%.0f,%s', now + tonumber(ARGV[2]), ARGV[3]))
end
local nodes = redis.call('HGETALL', KEYS[1])
local live = {}
for i = 1, #nodes, 2 do
  local valid_until = tonumber(string.match(nodes[i + 1], '^{"until":(%d+)'))
  if valid_until and valid_until + tonumber(ARGV[5]) < now then
    redis.call('HDEL', KEYS[1], nodes[i])
  else
    live[#live + 1] = nodes[i]
    live[#live + 1] = nodes[i + 1]
  end
end
local id = ''
local entry = redis.call('XRANGE', KEYS[3], ARGV[4] .. '-0', ARGV[4] .. '-0')[1]
if entry then
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'entry' then id = entry[2][i + 1] end
  end
end
local versions = redis.call('HMGET', KEYS[2], 'committed', 'reserved')
return {now, tonumber(versions[1] or '0'), id, tonumber(versions[2] or '0'), live}
