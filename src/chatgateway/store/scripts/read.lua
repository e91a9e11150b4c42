#!lua
-- Move a reader's mark forward and tell the others.
--
-- KEYS  1 meta (hash)   2 log (stream)   3 fence (string)   4 the person's marks (hash)
-- ARGV  1 version carried   2 user   3 side: visitor or agent   4 session   5 signed_at   6 project
--       7 seq   8 event channel   9 the read mark as JSON   10 PUBLISH or SPUBLISH   11 hint channel   12 conversation
-- Returns 1 when the mark moved, 0 when it was there already; or the error MISSING, STALE n, WITHDRAWN why, UNKNOWN
local fence = redis.call('GET', KEYS[3])
if not fence then return redis.error_reply('MISSING') end
if tonumber(ARGV[1]) < tonumber(fence) then return redis.error_reply('STALE ' .. fence) end
local marks = redis.call('HMGET', KEYS[4], '*', 'blocked', ARGV[4], 'erased')
if marks[4] then return redis.error_reply('WITHDRAWN erased') end
if marks[2] then return redis.error_reply('WITHDRAWN blocked') end
if marks[1] and tonumber(ARGV[5]) <= tonumber(marks[1]) then return redis.error_reply('WITHDRAWN signed_out') end
if marks[3] then return redis.error_reply('WITHDRAWN ' .. marks[3]) end
if tonumber(ARGV[1]) > tonumber(fence) then redis.call('SET', KEYS[3], ARGV[1]) end
local side = ARGV[3]
-- All agents share one unread count (side "agents"); each one's own mark says who has seen what.
local reader = side == 'agent' and 'agents' or ARGV[2]
local meta = redis.call('HMGET', KEYS[1], 'project', 'visitor', 'seq', 'nv', 'na', 'holders', 'rs:' .. ARGV[2],
  'rs:' .. reader, 'pending')
if not meta[1] or meta[1] ~= ARGV[6] then return redis.error_reply('UNKNOWN') end
if side == 'visitor' then
  if meta[9] then
    if not string.find(meta[6], ' ' .. ARGV[4] .. ' ', 1, true) then return redis.error_reply('UNKNOWN') end
  elseif meta[2] ~= ARGV[2] then
    return redis.error_reply('UNKNOWN')
  end
end
local top = tonumber(meta[3] or '0')
local seq = math.min(tonumber(ARGV[7]), top)
if seq <= tonumber(meta[7] or '0') then return 0 end
if seq > tonumber(meta[8] or '0') or reader == ARGV[2] then
  local counts = seq == top and (meta[4] or '0') .. '/' .. (meta[5] or '0')
  if not counts then
    -- Counters as of that entry. Marks lie near the top; one far below it, or on an entry that was moved away, waits
    -- until the reader comes nearer.
    local depth = top - seq + 1
    if depth > 500 then return 0 end
    for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', depth)) do
      if string.match(entry[1], '%-(%d+)$') == tostring(seq) then counts = entry[2][6] end
    end
    if not counts then return 0 end
  end
  local nv, na = string.match(counts, '^(%d+)/(%d+)$')
  redis.call('HSET', KEYS[1], 'rs:' .. reader, seq, 'rc:' .. reader, side == 'agent' and nv or na)
end
redis.call('HSET', KEYS[1], 'rs:' .. ARGV[2], seq)
-- A reader may claim more than there is.
redis.call(ARGV[10], ARGV[8], (string.gsub(ARGV[9], '"seq":%d+', '"seq":' .. seq, 1)))
redis.call(ARGV[10], ARGV[11], ARGV[12])
return 1
