#!lua
-- Append an agents-only note: own seq, own channel, never in the log.
--
-- KEYS  1 meta (hash)   2 notes (stream)   3 fence (string)   4 the author's refs (zset)
-- ARGV  1 version carried   2 project   3 ref   4 the ref's ms   5 note from "conversation" on   6 agents' channel
--       7 PUBLISH or SPUBLISH
-- Returns {at, seq, 1 if it was stored before else 0}, or {"outcome_unknown"} or {"ref_ahead"}; or the error MISSING,
-- STALE n, UNKNOWN
local fence = redis.call('GET', KEYS[3])
if not fence then return redis.error_reply('MISSING') end
if tonumber(ARGV[1]) < tonumber(fence) then return redis.error_reply('STALE ' .. fence) end
local project = redis.call('HGET', KEYS[1], 'project')
if not project or project ~= ARGV[2] then return redis.error_reply('UNKNOWN') end
if tonumber(ARGV[1]) > tonumber(fence) then redis.call('SET', KEYS[3], ARGV[1]) end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], ARGV[4], ARGV[4])) do
  if string.sub(member, 1, #ARGV[3] + 1) == ARGV[3] .. '/' then
    local at, seq = string.match(member, '/(%d+)/(%d+)/note$')
    if at then
      redis.call('HSET', KEYS[1], 'touched', at)
      return {tonumber(at), tonumber(seq), 1}
    end
  end
end
-- Notes and messages of one author share the window of refs, and its rule: see append.lua.
if redis.call('ZCARD', KEYS[4]) >= 128 then
  local smallest = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
  local ms, score = tonumber(ARGV[4]), tonumber(smallest[2])
  if ms < score or (ms == score and ARGV[3] < smallest[1]) then return {'outcome_unknown'} end
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if tonumber(ARGV[4]) > now + 120000 then return {'ref_ahead'} end
local at = string.format('%.0f', now)
local seq = redis.call('HINCRBY', KEYS[1], 'notes', 1)
local note = '{"type":"note","seq":' .. seq .. ',"at":' .. at .. ',' .. ARGV[5]
redis.call('XADD', KEYS[2], seq .. '-0', 'e', note)
redis.call('ZADD', KEYS[4], ARGV[4], ARGV[3] .. '/' .. at .. '/' .. seq .. '/note')
redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -129)
redis.call(ARGV[7], ARGV[6], note)
return {tonumber(at), seq, 0}
