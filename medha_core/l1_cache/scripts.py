"""What the server does in one step, in Lua. No step is longer than the records it is given.

Four keys: a hash of records, their order of use, which keys serve which entry, and the generation.
Each script begins by taking part in the generation: ARGV[1] is its first value, ARGV[2] what is added.
"""

_BEGIN = """
local records, recent, by_entry, generation = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('EXISTS', generation) == 0 then redis.call('SET', generation, ARGV[1]) end
redis.call('INCRBY', generation, ARGV[2])
local function result(value)
  return {value, redis.call('GET', generation), redis.call('HLEN', records)}
end
local function drop(key)
  local record = redis.call('HGET', records, key)
  if not record then return end
  local is_ours, held = pcall(cjson.decode, record)
  if is_ours and type(held) == 'table' and type(held.entry) == 'string' then
    redis.call('ZREM', by_entry, held.entry .. ' ' .. key)
  end
  redis.call('HDEL', records, key)
  redis.call('ZREM', recent, key)
end
local function use(key)
  local time = redis.call('TIME')
  redis.call('ZADD', recent, string.format('%d%06d', time[1], time[2]), key)
end
"""

READ = (
    _BEGIN
    + """
local record = redis.call('HGET', records, ARGV[3])
if record then use(ARGV[3]) end
return result(record or '')
"""
)
"""ARGV[3]: the key. Gives its record, or ""."""

WRITE = (
    _BEGIN
    + """
local key, record, entry, expected, most, lifetime =
  ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
if expected ~= '' and expected ~= redis.call('GET', generation) then return result('') end
drop(key)
redis.call('HSET', records, key, record)
use(key)
if entry ~= '' then redis.call('ZADD', by_entry, 0, entry .. ' ' .. key) end
while redis.call('HLEN', records) > most do
  local oldest = redis.call('ZPOPMIN', recent)
  if not oldest[1] then break end
  drop(oldest[1])
end
if lifetime ~= '' then
  for _, name in ipairs({records, recent, by_entry}) do redis.call('EXPIRE', name, lifetime) end
end
return result('written')
"""
)
"""ARGV[3..8]: key, record, its entry or "", the generation it needs or "", records at most, seconds or "".

A record of a key that stands in no order of use (somebody took it away) ends the making of room.
"""

DROP = (
    _BEGIN
    + """
for i = 3, #ARGV do drop(ARGV[i]) end
return result('')
"""
)
"""ARGV[3...]: keys."""

FORGET = (
    _BEGIN
    + """
for i = 3, #ARGV do
  local entry = ARGV[i]
  for _, member in ipairs(redis.call('ZRANGEBYLEX', by_entry, '[' .. entry .. ' ', '(' .. entry .. '!')) do
    drop(string.sub(member, #entry + 2))
  end
end
return result('')
"""
)
"""ARGV[3...]: entries; drops every key that serves one of them."""

CLEAR = (
    _BEGIN
    + """
redis.call('UNLINK', records, recent, by_entry)
return result('')
"""
)
"""Lets go of everything at once; the server frees the memory beside its work."""
