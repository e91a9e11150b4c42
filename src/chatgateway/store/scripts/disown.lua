#!lua
-- Put other entries in the place of those that somebody wrote in a conversation that stays. Positions do not change.
--
-- One script, so that no reader finds the log without its entries. What was appended meanwhile stays as it is.
--
-- What was said in their place becomes nobody else's: a chat during which they signed in is held for nobody from now on,
-- not even for who began it. One that they began stays with whoever signed in during it, or kept it.
--
-- KEYS  1 meta (hash)   2 log (stream)   3 the author's refs (zset)   4 what became of the author, an anonymous visitor
--       (hash)
-- ARGV  1 author   2 who stands in their place   3 conversation   4 PUBLISH or SPUBLISH   5 event channel
--       6 what is told there   7 hint channel   8... two per entry: id, event
-- Returns 1, or 0 when nobody else is left: then the conversation is to be deleted
local author, nobody = ARGV[1], ARGV[2]
local meta = redis.call('HMGET', KEYS[1], 'visitor', 'pending')
local visitor, pending = meta[1], meta[2]
if (visitor == author and pending == nobody) or (visitor == nobody and pending == author) then return 0 end
local events = {}
for i = 8, #ARGV, 2 do events[ARGV[i]] = ARGV[i + 1] end
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
redis.call('HDEL', KEYS[1], 'rs:' .. author, 'rc:' .. author)
if pending == author then redis.call('HSET', KEYS[1], 'pending', nobody, 'holders', ' ') end
if visitor == author then
  local adoption = redis.call('HMGET', KEYS[4], 'state', 'account')
  if adoption[1] == 'committed' then
    -- Nothing is left of the author that could be marked or given back later.
    redis.call('HSET', KEYS[1], 'visitor', adoption[2])
    redis.call('HDEL', KEYS[1], 'pending', 'holders')
  else
    redis.call('HSET', KEYS[1], 'visitor', nobody)
  end
end
redis.call('DEL', KEYS[3])
redis.call(ARGV[4], ARGV[5], ARGV[6])
redis.call(ARGV[4], ARGV[7], ARGV[3])
return 1
