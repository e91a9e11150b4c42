#!lua
-- Say whom an identifier names, for ever: the user whom somebody else proposed first, else the proposed one.
--
-- One script, so that of two sign-ins that both find nobody only one makes a person.
--
-- KEYS  1 identifier (string)
-- ARGV  1 proposed user
-- Returns the user
local known = redis.call('GET', KEYS[1])
if known then
  return known
end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
