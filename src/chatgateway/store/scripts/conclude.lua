#!lua
-- Note that nothing is left to do for an adoption, or for its undoing.
--
-- KEYS  1 what became of the anonymous visitor (hash)   2 adoptions under way (zset)
-- ARGV  1 the state that was carried out   2 the one that follows   3 its name among those under way
-- Returns 1, or 0 when the state had moved on already
local held = redis.call('HGET', KEYS[1], 'state')
if held == 'committed' or held == 'undoing' then
  if held ~= ARGV[1] then return 0 end
  redis.call('HSET', KEYS[1], 'state', ARGV[2])
end
redis.call('ZREM', KEYS[2], ARGV[3])
return held == ARGV[1] and 1 or 0
