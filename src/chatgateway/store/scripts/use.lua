#!lua
-- Use a visitor's code up. Of many that answered rightly at once one is told so; a newer code is left alone.
--
-- KEYS  1 proof (hash)
-- ARGV  1 digest of the code that was answered
-- Returns 1, or 0 when it was used, replaced or too old meanwhile
if redis.call('HGET', KEYS[1], 'digest') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
