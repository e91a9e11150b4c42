#!lua
-- Found the store: write its schema record, once.
--
-- One script, so that of two gateways that start at once exactly one gives the store its id.
--
-- KEYS  1 schema (hash)
-- ARGV  1 version   2 store id   3 now
-- Returns 1 when it was founded now, 0 when it was founded before

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'store', ARGV[2], 'created_at', ARGV[3])
return 1
