#!lua flags=no-writes
-- Find the people of one partition of whom a word begins so.
--
-- KEYS  1 what they are found by (zset)
-- ARGV  1 prefix   2 people at most
-- Returns their first words that begin so, "WORD\nUSER", in order
local found, seen, from = {}, {}, '[' .. ARGV[1]
local limit = tonumber(ARGV[2])
while true do
  local rows = redis.call('ZRANGEBYLEX', KEYS[1], from, '[' .. ARGV[1] .. '\255', 'LIMIT', 0, 128)
  for _, row in ipairs(rows) do
    local user = string.match(row, '\n([^\n]*)$')
    if not seen[user] then
      seen[user] = true
      found[#found + 1] = row
      if #found >= limit then return found end
    end
  end
  if #rows < 128 then return found end
  from = '(' .. rows[#rows]
end
