#!lua
-- Read a conversation for one session: may it, where is the top, does its cursor exist, and what comes after it.
--
-- One script, so that membership, probe, entries and head belong to one moment.
--
-- KEYS  1 meta (hash)   2 log (stream)   3 fence (string)   4 the person's marks (hash)   5 overlay (hash)
-- ARGV  1 version carried   2 user   3 side: visitor, agent or node   4 session   5 signed_at   6 project
--       7 what: tail, after, before or head   8 at   9 seq   10 link of the cursor   11 entries at most   12 bytes at most
-- Returns {status, more, head, entries, doubts}: status gapless, tail, trimmed or diverged; more 1 when entries were left
-- out; head the meta hash, flat; entries oldest first; doubts the overlay, flat. Or the error MISSING, STALE n,
-- WITHDRAWN why, UNKNOWN
local side = ARGV[3]
if side ~= 'node' then
  local fence = redis.call('GET', KEYS[3])
  if not fence then return redis.error_reply('MISSING') end
  if tonumber(ARGV[1]) < tonumber(fence) then return redis.error_reply('STALE ' .. fence) end
  if tonumber(ARGV[1]) > tonumber(fence) then redis.call('SET', KEYS[3], ARGV[1]) end
  local marks = redis.call('HMGET', KEYS[4], '*', 'blocked', ARGV[4], 'erased')
  if marks[4] then return redis.error_reply('WITHDRAWN erased') end
  if marks[2] then return redis.error_reply('WITHDRAWN blocked') end
  if marks[1] and tonumber(ARGV[5]) <= tonumber(marks[1]) then return redis.error_reply('WITHDRAWN signed_out') end
  if marks[3] then return redis.error_reply('WITHDRAWN ' .. marks[3]) end
end
local head = redis.call('HGETALL', KEYS[1])
local meta = {}
for i = 1, #head, 2 do meta[head[i]] = head[i + 1] end
if not meta.project or (side ~= 'node' and meta.project ~= ARGV[6]) then return redis.error_reply('UNKNOWN') end
if side == 'visitor' then
  if meta.pending then
    if not string.find(meta.holders, ' ' .. ARGV[4] .. ' ', 1, true) then return redis.error_reply('UNKNOWN') end
  elseif meta.visitor ~= ARGV[2] then
    return redis.error_reply('UNKNOWN')
  end
end
local overlay = redis.call('HGETALL', KEYS[5])
local what, limit, room = ARGV[7], tonumber(ARGV[11]), tonumber(ARGV[12])
if what == 'head' then return {'head', 0, head, {}, overlay} end

local function page(rows)
  local entries, more, used = {}, 0, 0
  for index, row in ipairs(rows) do
    local event = row[2][2]
    used = used + #event
    if index > limit or (used > room and index > 1) then
      more = 1
      break
    end
    entries[#entries + 1] = event
  end
  return entries, more
end
local function reversed(list)
  local out = {}
  for i = #list, 1, -1 do out[#out + 1] = list[i] end
  return out
end

local status = 'tail'
if what == 'before' then
  if ARGV[8] == '0' and ARGV[9] == '0' then return {'gapless', 0, head, {}, overlay} end
  local rows = redis.call('XREVRANGE', KEYS[2], '(' .. ARGV[8] .. '-' .. ARGV[9], '-', 'COUNT', limit + 1)
  local entries, more = page(rows)
  return {'gapless', more, head, reversed(entries), overlay}
elseif what == 'after' then
  local id = ARGV[8] .. '-' .. ARGV[9]
  local present = ARGV[8] == meta.at and ARGV[9] == meta.seq and ARGV[10] == meta.link
  if not present then
    local entry = redis.call('XRANGE', KEYS[2], id, id)[1]
    -- The link stands unescaped only in the entry's own head: quotes inside a text are always escaped.
    present = entry and string.find(entry[2][2], '"link":"' .. ARGV[10] .. '"', 1, true) ~= nil
  end
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if not present and ARGV[9] == '0' and ARGV[10] == '00000000' and (not first or string.match(first[1], '%-1$')) then
    present = true
  end
  if present then
    local entries, more = page(redis.call('XRANGE', KEYS[2], '(' .. id, '+', 'COUNT', limit + 1))
    return {'gapless', more, head, entries, overlay}
  end
  status = 'diverged'
  if first then
    local ms, seq = string.match(first[1], '^(%d+)%-(%d+)$')
    local at = tonumber(ARGV[8])
    if at < tonumber(ms) or (at == tonumber(ms) and tonumber(ARGV[9]) < tonumber(seq)) then
      if tonumber(seq) > 1 then status = 'trimmed' end
    end
  elseif tonumber(ARGV[9]) < tonumber(meta.seq or '0') then
    status = 'trimmed'
  end
end
local entries, more = page(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', limit + 1))
return {status, more, head, reversed(entries), overlay}
