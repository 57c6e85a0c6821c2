"""Hot path. What Redis does in one step, in Lua. Its numbers are doubles: whatever passes 2^53 - 1 on the way is refused.

A counter is a hash: t its total, b its base once it was seeded. An entry is a key of its own, since only keys expire.
"""

# KEYS: epoch, counter, entry. ARGV: amount, ttl_ms, remembered_ms. Answers {total, epoch}.
ADD = """
local old = redis.call('GET', KEYS[3])
local total = tonumber(redis.call('HGET', KEYS[2], 't'))
if old and not total then
  redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3])
  return {'0', redis.call('GET', KEYS[1])}
end
local others = (total or 0) - (tonumber(old) or 0)
total = others + tonumber(ARGV[1])
if math.abs(others) > 9007199254740991 or math.abs(total) > 9007199254740991 then
  return redis.error_reply('TOOLARGE')
end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3])
if ARGV[1] ~= old then
  redis.call('HSET', KEYS[2], 't', string.format('%.0f', total))
  if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
  end
end
return {string.format('%.0f', total), redis.call('GET', KEYS[1])}
"""

# KEYS: epoch and counter of each. Answers a total or nil for each.
TOTALS = """
local totals = {}
for i = 1, #KEYS, 2 do
  local total = false
  if redis.call('EXISTS', KEYS[i]) == 1 then
    total = redis.call('HGET', KEYS[i + 1], 't') or '0'
  end
  totals[#totals + 1] = total
end
return totals
"""

# KEYS: lock, counter, entries. ARGV: token, base, ttl_ms, remembered_ms, the entries' amounts.
# Answers 1 while the token leads.
SEED = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if redis.call('HEXISTS', KEYS[2], 'b') == 1 then
  return 1
end
local total = (tonumber(redis.call('HGET', KEYS[2], 't')) or 0) + tonumber(ARGV[2])
if math.abs(total) > 9007199254740991 then
  return redis.error_reply('TOOLARGE')
end
local new = {}
for i = 3, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    new[#new + 1] = i
    total = total + tonumber(ARGV[i + 2])
    if math.abs(total) > 9007199254740991 then
      return redis.error_reply('TOOLARGE')
    end
  end
end
for _, i in ipairs(new) do
  redis.call('SET', KEYS[i], ARGV[i + 2], 'PX', ARGV[4])
end
redis.call('HSET', KEYS[2], 't', string.format('%.0f', total), 'b', ARGV[2])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return 1
"""

# KEYS: lock, epoch. ARGV: token, lock_ms.
LEAD = """
if redis.call('EXISTS', KEYS[1]) == 1 or redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

# KEYS: lock. ARGV: token, lock_ms. A lock that is gone is not set again: what it guarded went with it.
RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""

# KEYS: lock, epoch. ARGV: token.
FINISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1])
return 1
"""

# KEYS: lock. ARGV: token.
RESIGN = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
"""

# A fact is kept as "<ms since the epoch>:<value>" in its topic's hash: the hash's fields do not expire by themselves.
# KEYS: topic. ARGV: name, value, ttl_ms.
PUT = """
local now = redis.call('TIME')
local until_ms = now[1] * 1000 + math.floor(now[2] / 1000) + tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f:', until_ms) .. ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
"""

# KEYS: topic. Answers names and values in turn.
ALL = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local facts = redis.call('HGETALL', KEYS[1])
local found = {}
for i = 1, #facts, 2 do
  local colon = string.find(facts[i + 1], ':', 1, true)
  if tonumber(string.sub(facts[i + 1], 1, colon - 1)) > now_ms then
    found[#found + 1] = facts[i]
    found[#found + 1] = string.sub(facts[i + 1], colon + 1)
  else
    redis.call('HDEL', KEYS[1], facts[i])
  end
end
return found
"""
