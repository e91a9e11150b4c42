#!lua
-- Append entries to a conversation, each once per ref, and announce them.
--
-- One script, so that positions have no holes and no reader hears of a message that is not stored.
--
-- KEYS  1 meta (hash)   2 log (stream)   3 the author's refs (zset)   4 fence (string)   5 the person's marks (hash)
--       6 inbox part "open"   7 "unassigned"   8 "resolved" (zsets)   9 by act: the visitor's conversations (zset), or
--       what is remembered of the anonymous visitor's adoption (hash)
-- ARGV  1 version carried   2 author   3 side: visitor or agent   4 session   5 signed_at of the session   6 project
--       7 kid that vouched   8 conversation   9 event channel   10 hint channel   11 PUBLISH or SPUBLISH
--       12 act: text, begin, signed_in, adopted, unadopted, assigned, resolved or reopened   13 subject of the act
--       14 inbox key prefix
--       15 key of the conversations that this kid vouched in (zset)
--       16... four per entry: ref, the ref's ms, event from "conversation" on, "1" when it is a text
-- Returns per entry {at, seq, link, 1 if it was stored before else 0}, or {"outcome_unknown"} or {"ref_ahead"};
-- or the error MISSING, STALE n, WITHDRAWN why, UNKNOWN
local version, author, side, session = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local act, subject = ARGV[12], ARGV[13]
-- Decided by the commit of an adoption, and carried out by whichever node comes by: on nobody's behalf.
local decided = act == 'adopted' or act == 'unadopted'
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- Dedupe. The window holds the 128 greatest refs by (ms, text): the smallest may be forgotten, the rest may not.
local answers, fresh, by_ref = {}, {}, {}
local held = redis.call('ZCARD', KEYS[3])
for i = 16, #ARGV, 4 do
  local ref, ms = ARGV[i], ARGV[i + 1]
  local answer = by_ref[ref] or false
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], ms, ms)) do
    if string.sub(member, 1, #ref + 1) == ref .. '/' then
      local at, seq, link = string.match(member, '/(%d+)/(%d+)/(%x+)$')
      if at then answer = {tonumber(at), tonumber(seq), link, 1} end
    end
  end
  if not answer and held >= 128 and not decided then
    local smallest = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
    local score = tonumber(smallest[2])
    if tonumber(ms) < score or (tonumber(ms) == score and ref < smallest[1]) then answer = {'outcome_unknown'} end
  end
  if not answer and tonumber(ms) > now + 120000 then answer = {'ref_ahead'} end
  if not answer then
    answer = {}
    fresh[#fresh + 1] = {i, answer}
  end
  by_ref[ref] = answer
  answers[#answers + 1] = answer
end
if #fresh == 0 then
  -- A later WAIT must have a write to wait for: the first answer may have been lost before it was replicated.
  if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'touched', now) end
  return answers
end

local fence = redis.call('GET', KEYS[4])
if not fence then return redis.error_reply('MISSING') end
fence = tonumber(fence)
if version < fence and not decided then return redis.error_reply('STALE ' .. fence) end

local marks = decided and {} or redis.call('HMGET', KEYS[5], '*', 'blocked', session, 'erased')
if marks[4] then return redis.error_reply('WITHDRAWN erased') end
if marks[2] then return redis.error_reply('WITHDRAWN blocked') end
-- A stranger, for whom no key vouches, is nobody any more once they signed out, whenever the credential was minted.
if marks[1] and (side == 'visitor' and ARGV[7] == '' or tonumber(ARGV[5]) <= tonumber(marks[1])) then
  return redis.error_reply('WITHDRAWN signed_out')
end
if marks[3] then return redis.error_reply('WITHDRAWN ' .. marks[3]) end

if decided and redis.call('HEXISTS', KEYS[5], 'erased') == 1 then return redis.error_reply('WITHDRAWN erased') end

local meta = redis.call('HMGET', KEYS[1], 'project', 'visitor', 'at', 'seq', 'link', 'state', 'assigned', 'nv', 'na',
  'holders', 'pending', 'said_at', 'adopted')
local visitor, holders, pending = meta[2], meta[10], meta[11]
local state, assigned = meta[6] or 'open', meta[7] or ''
if not meta[1] then
  if act ~= 'begin' then return redis.error_reply('UNKNOWN') end
  visitor = author
  redis.call('HSET', KEYS[1], 'project', ARGV[6], 'visitor', author, 'state', 'open', 'created_at', now)
  redis.call('ZADD', KEYS[9], now, ARGV[8])
elseif meta[1] ~= ARGV[6] then
  return redis.error_reply('UNKNOWN')
elseif act == 'signed_in' then
  -- `subject` is the anonymous visitor that this session was: the chat goes to whoever signed in during it first.
  if visitor ~= subject or (pending and pending ~= author) then return redis.error_reply('UNKNOWN') end
  if redis.call('HEXISTS', KEYS[9], 'state') == 1 then return redis.error_reply('UNKNOWN') end
elseif decided then
  -- `author` is the account, `subject` the anonymous visitor. What was done before is only answered: a node that was
  -- stopped in the middle may wake up after another one has finished, and after that was undone.
  local adoption = redis.call('HMGET', KEYS[9], 'account', 'state', 'session')
  if adoption[1] ~= author then return redis.error_reply('UNKNOWN') end
  local is_due
  if act == 'adopted' then
    is_due = adoption[2] == 'committed' and visitor == subject and (not pending or pending == author)
    if is_due then holders = pending and holders or ' ' .. adoption[3] .. ' ' end
  else
    is_due = adoption[2] == 'undoing' and visitor == author and meta[13] == subject
  end
  if not is_due then
    for _, pair in ipairs(fresh) do
      pair[2][1], pair[2][2], pair[2][3], pair[2][4] = tonumber(meta[3]), tonumber(meta[4]), meta[5], 1
    end
    return answers
  end
elseif side == 'visitor' then
  if pending then
    if not string.find(holders, ' ' .. session .. ' ', 1, true) then return redis.error_reply('UNKNOWN') end
  elseif visitor ~= author then
    return redis.error_reply('UNKNOWN')
  end
end
if version > fence and not decided then redis.call('SET', KEYS[4], ARGV[1]) end

if act == 'signed_in' then
  -- Each session that showed both credentials, this visitor's and the person's; the last 32 of them.
  holders = holders or ' '
  if not string.find(holders, ' ' .. session .. ' ', 1, true) then holders = holders .. session .. ' ' end
  while select(2, string.gsub(holders, '%S+', '')) > 32 do holders = string.gsub(holders, '^ %S+', '', 1) end
  redis.call('HSET', KEYS[1], 'holders', holders, 'pending', author)
  if pending then
    for _, pair in ipairs(fresh) do
      pair[2][1], pair[2][2], pair[2][3], pair[2][4] = tonumber(meta[3]), tonumber(meta[4]), meta[5], 1
    end
    return answers
  end
elseif act == 'adopted' then
  -- The account's from now on, with what was read so far; `kept` is what undoing gives back.
  redis.call('HSET', KEYS[1], 'visitor', author, 'adopted', subject, 'kept', holders)
  redis.call('HDEL', KEYS[1], 'pending', 'holders')
  for _, mark in ipairs({'rs:', 'rc:'}) do
    local read = redis.call('HGET', KEYS[1], mark .. subject)
    if read and redis.call('HEXISTS', KEYS[1], mark .. author) == 0 then
      redis.call('HSET', KEYS[1], mark .. author, read)
    end
  end
elseif act == 'unadopted' then
  local kept = redis.call('HGET', KEYS[1], 'kept')
  redis.call('HSET', KEYS[1], 'visitor', subject, 'pending', author, 'holders', kept)
  redis.call('HDEL', KEYS[1], 'adopted', 'kept')
elseif act == 'assigned' then
  if assigned ~= '' then redis.call('ZREM', ARGV[14] .. 'agent:' .. assigned, ARGV[8]) end
  assigned = subject
  redis.call('HSET', KEYS[1], 'assigned', assigned)
elseif act == 'resolved' then
  state = 'resolved'
elseif state == 'resolved' then
  state = 'open'
end

local at, seq, link = tonumber(meta[3] or '0'), tonumber(meta[4] or '0'), meta[5] or '00000000'
local nv, na, said_at = tonumber(meta[8] or '0'), tonumber(meta[9] or '0'), meta[12] or '0'
if at < now then at = now end
local stamp = string.format('%.0f', at)
for _, pair in ipairs(fresh) do
  local i, answer = pair[1], pair[2]
  local prev = link
  seq = seq + 1
  link = string.sub(redis.sha1hex(prev .. '/' .. ARGV[i] .. '/' .. stamp), 1, 8)
  if ARGV[i + 3] == '1' then
    said_at = stamp
    if side == 'visitor' then nv = nv + 1 else na = na + 1 end
  end
  local event = '{"type":"message","seq":' .. seq .. ',"at":' .. stamp .. ',"link":"' .. link .. '","prev":"' .. prev ..
    '",' .. ARGV[i + 2]
  redis.call('XADD', KEYS[2], stamp .. '-' .. seq, 'e', event, 'k', ARGV[7], 'n', nv .. '/' .. na)
  redis.call('ZADD', KEYS[3], ARGV[i + 1], ARGV[i] .. '/' .. stamp .. '/' .. seq .. '/' .. link)
  redis.call(ARGV[11], ARGV[9], event)
  answer[1], answer[2], answer[3], answer[4] = at, seq, link, 0
end
local excess = held + #fresh - 128
if excess > 0 then redis.call('ZREMRANGEBYRANK', KEYS[3], 0, excess - 1) end
redis.call('HSET', KEYS[1], 'at', stamp, 'seq', seq, 'link', link, 'state', state, 'nv', nv, 'na', na, 'said_at', said_at)
if state ~= 'open' then
  redis.call('ZADD', KEYS[8], at, ARGV[8])
  redis.call('ZREM', KEYS[6], ARGV[8])
  redis.call('ZREM', KEYS[7], ARGV[8])
else
  redis.call('ZADD', KEYS[6], at, ARGV[8])
  if meta[6] == 'resolved' then redis.call('ZREM', KEYS[8], ARGV[8]) end
  if assigned == '' then
    redis.call('ZADD', KEYS[7], at, ARGV[8])
  elseif act == 'assigned' then
    redis.call('ZREM', KEYS[7], ARGV[8])
  end
end
if ARGV[7] ~= '' then redis.call('ZADD', ARGV[15], at, ARGV[8]) end
if assigned ~= '' then redis.call('ZADD', ARGV[14] .. 'agent:' .. assigned, at, ARGV[8]) end
redis.call(ARGV[11], ARGV[10], ARGV[8])
return answers
