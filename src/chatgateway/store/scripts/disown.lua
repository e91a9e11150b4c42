#!lua
-- Put other entries in the place of those that somebody wrote in a conversation that stays. Positions do not change.
--
-- One script, so that no reader finds the log without its entries. What was appended meanwhile stays as it is.
--
-- KEYS  1 meta (hash)   2 log (stream)   3 the author's refs (zset)
-- ARGV  1 author   2... two per entry: id, event
-- Returns 1
local events = {}
for i = 2, #ARGV, 2 do events[ARGV[i]] = ARGV[i + 1] end
if next(events) then
  local rows = redis.call('XRANGE', KEYS[2], '-', '+')
  redis.call('DEL', KEYS[2])
  for _, row in ipairs(rows) do
    local fields = row[2]
    for i = 1, #fields, 2 do
      if fields[i] == 'e' and events[row[1]] then fields[i + 1] = events[row[1]] end
    end
    redis.call('XADD', KEYS[2], row[1], unpack(fields))
  end
end
redis.call('HDEL', KEYS[1], 'rs:' .. ARGV[1], 'rc:' .. ARGV[1])
if redis.call('HGET', KEYS[1], 'pending') == ARGV[1] then redis.call('HDEL', KEYS[1], 'pending', 'holders') end
redis.call('DEL', KEYS[3])
return 1
