#!lua
-- Read an app together with its project.
--
-- One script, because only the app knows whose it is, and every connection begins with this question.
--
-- KEYS  1 apps (hash)   2 projects (hash)
-- ARGV  1 app
-- Returns {project's value, app's value}, or nil when either is missing
local app = redis.call('HGET', KEYS[1], ARGV[1] .. ':value')
if not app then
  return false
end
local project = redis.call('HGET', KEYS[2], cjson.decode(app).project .. ':value')
if not project then
  return false
end
return {project, app}
