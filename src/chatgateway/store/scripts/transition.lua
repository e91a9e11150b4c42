#!lua
-- Change one record, note why in the control log, and chain the deed into the audit.
--
-- One script, so that no trust is withdrawn without its log entry, and no record changes without its audit entry.
-- The answer is remembered by request for an hour: a command that the client or a waking server executes twice
-- changes nothing the second time and answers as the first time.
--
-- KEYS  1 the record's hash   2 versions (hash)   3 control log (stream)   4 audit (stream)   5 audit head (hash)
--       6 the request's answer (string)   7 admin tokens (hash)
-- ARGV  1 prefix of the record's fields   2 expected revision, "" to change no record   3 new value, "" to remove it
--       4 claimed name, or ""   5 its owner
--       6 control entry's id, or ""   7 kind   8 project   9 subject   10 why
--       11 at   12 previous audit hash   13 audit seq, or ""   14 audit hash   15 encoded audit entry
--       16 the admin token on whose word it is done, or ""
-- Returns {OK, the record's revision, control-log version or 0}; {RECORD}, {NAME} or {AUDIT} says which of them
-- somebody else changed first, {ADMIN} that the admin token was revoked, and then nothing was written
local answered = redis.call('GET', KEYS[6])
if answered then
  return {'OK', string.match(answered, '^(%d+) (%d+)$')}
end

if ARGV[16] ~= '' then
  local admin = redis.call('HGET', KEYS[7], ARGV[16] .. ':value')
  if not admin or string.find(admin, '"revoked_at":%d') then
    return {'ADMIN'}
  end
end
local revision_field = ARGV[1] .. 'revision'
local name_field = 'name:' .. ARGV[4]
if ARGV[2] ~= '' then
  if (redis.call('HGET', KEYS[1], revision_field) or '0') ~= ARGV[2] then
    return {'RECORD'}
  end
  if ARGV[4] ~= '' then
    local owner = redis.call('HGET', KEYS[1], name_field)
    if owner and owner ~= ARGV[5] then
      return {'NAME'}
    end
  end
end
if ARGV[13] ~= '' and (redis.call('HGET', KEYS[5], 'hash') or '') ~= ARGV[12] then
  return {'AUDIT'}
end

-- The log first: if its write should fail, trust is at worst withdrawn from a record that stayed.
local version = 0
if ARGV[6] ~= '' then
  version = redis.call('HINCRBY', KEYS[2], 'reserved', 1)
  redis.call('XADD', KEYS[3], version .. '-0', 'entry', ARGV[6], 'kind', ARGV[7], 'project', ARGV[8],
    'subject', ARGV[9], 'why', ARGV[10], 'at', ARGV[11])
end
if ARGV[13] ~= '' then
  redis.call('XADD', KEYS[4], ARGV[13] .. '-0', 'e', ARGV[15])
  redis.call('HSET', KEYS[5], 'seq', ARGV[13], 'hash', ARGV[14])
end
local revision = 0
if ARGV[2] ~= '' and ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], revision_field, ARGV[1] .. 'value')
  if ARGV[4] ~= '' then
    redis.call('HDEL', KEYS[1], name_field)
  end
elseif ARGV[2] ~= '' then
  revision = ARGV[2] + 1
  redis.call('HSET', KEYS[1], revision_field, revision, ARGV[1] .. 'value', ARGV[3])
  if ARGV[4] ~= '' then
    redis.call('HSET', KEYS[1], name_field, ARGV[5])
  end
end
redis.call('SET', KEYS[6], string.format('%.0f %.0f', revision, version), 'EX', 3600)
return {'OK', string.format('%.0f', revision), string.format('%.0f', version)}
