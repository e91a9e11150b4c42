#!lua
-- Count one answer to a visitor's code and return what the code was, so that of many answers at once each is counted.
--
-- KEYS  1 proof (hash)
-- Returns {email, digest, tries}, or nil when there is no code
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
local tries = redis.call('HINCRBY', KEYS[1], 'tries', 1)
local held = redis.call('HMGET', KEYS[1], 'email', 'digest')
return {held[1], held[2], tries}
