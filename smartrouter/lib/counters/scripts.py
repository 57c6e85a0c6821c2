"""Hot path. What Redis does in one step, in Lua. Its numbers are doubles: whatever passes 2^53 - 1 on the way is refused.

A counter is a hash: t its total, b its base once it was seeded, g the generation that it belongs to. An entry is a key of
its own, "<generation>:<amount>", since only keys expire. Every lead of a family begins a generation; what is of an
earlier one is as good as gone, and makes room when it is written to or when its time is over.
"""

# KEYS: epoch, held, generation, counter, entry. ARGV: amount, ttl_ms, remembered_ms.
# Answers {total, 1 or nil: whether totals are known}.
ADD = """
local family = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3])
local known = family[1] and not family[2] and 1
local generation = family[3] or '0'
local value = generation .. ':' .. ARGV[1]
local old = redis.call('GET', KEYS[5])
if old then
  local of, amount = string.match(old, '^(%d+):(.*)$')
  old = of == generation and amount
end
local counter = redis.call('HMGET', KEYS[4], 't', 'g')
local total = counter[2] == generation and tonumber(counter[1])
if old and not total then
  redis.call('SET', KEYS[5], value, 'PX', ARGV[3])
  return {'0', known}
end
local before = total or 0
local others = before - (tonumber(old or 0))
local after = others + tonumber(ARGV[1])
local largest = 9007199254740991
if math.abs(before) > largest or math.abs(others) > largest or math.abs(after) > largest then
  return redis.error_reply('TOOLARGE')
end
redis.call('SET', KEYS[5], value, 'PX', ARGV[3])
if ARGV[1] ~= old then
  if not total then
    redis.call('DEL', KEYS[4])
  end
  redis.call('HSET', KEYS[4], 't', string.format('%.0f', after), 'g', generation)
  if redis.call('PTTL', KEYS[4]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[4], ARGV[2])
  end
end
return {string.format('%.0f', after), known}
"""

# KEYS: epoch, held, generation and counter of each. Answers a total or nil for each.
TOTALS = """
local totals = {}
for i = 1, #KEYS, 4 do
  local total = false
  local family = redis.call('MGET', KEYS[i], KEYS[i + 1], KEYS[i + 2])
  if family[1] and not family[2] then
    local counter = redis.call('HMGET', KEYS[i + 3], 't', 'g')
    total = counter[2] == (family[3] or '0') and counter[1] or '0'
    total = math.abs(tonumber(total)) <= 9007199254740991 and total
  end
  totals[#totals + 1] = total
end
return totals
"""

# KEYS: lock, generation, counter, entries. ARGV: token, base, ttl_ms, remembered_ms, the entries' amounts.
# Answers 1 while the token leads. A counter that is refused keeps a total that no entry can be added to.
SEED = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local generation = redis.call('GET', KEYS[2])
local counter = redis.call('HMGET', KEYS[3], 't', 'b', 'g')
if counter[3] ~= generation then
  redis.call('DEL', KEYS[3])
  counter = {false, false}
end
if counter[2] then
  return 1
end
local total = (tonumber(counter[1] or 0)) + tonumber(ARGV[2])
local is_refused = math.abs(total) > 9007199254740991
local new = {}
for i = 4, #KEYS do
  local old = redis.call('GET', KEYS[i])
  if not old or string.match(old, '^%d+') ~= generation then
    new[#new + 1] = i
    total = total + tonumber(ARGV[i + 1])
    is_refused = is_refused or math.abs(total) > 9007199254740991
  end
end
if is_refused then
  total = 9007199254740992
else
  for _, i in ipairs(new) do
    redis.call('SET', KEYS[i], generation .. ':' .. ARGV[i + 1], 'PX', ARGV[4])
  end
end
redis.call('HSET', KEYS[3], 't', string.format('%.0f', total), 'b', ARGV[2], 'g', generation)
if redis.call('PTTL', KEYS[3]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
end
return is_refused and redis.error_reply('TOOLARGE') or 1
"""

# KEYS: lock, epoch, generation. ARGV: token, lock_ms.
LEAD = """
if redis.call('EXISTS', KEYS[1]) == 1 or redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('INCR', KEYS[3])
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

# KEYS: lock, epoch. ARGV: token, stands_ms.
FINISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[1])
return 1
"""

# KEYS: a lock or an epoch. ARGV: token.
DROP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
"""

# KEYS: epoch. ARGV: stands_ms.
PROLONG = "return redis.call('PEXPIRE', KEYS[1], ARGV[1])"

# KEYS: held. ARGV: for_ms. The longest one counts.
HOLD = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
end
return 1
"""

# KEYS: turn. ARGV: token, for_ms.
TURN = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

# A board is a hash: a member's notice is "<when it is over, in ms>:<payload>", for only whole keys expire (before Redis 7.4).
# KEYS: board. ARGV: member, payload, ttl_ms.
PUBLISH = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f:', now + ARGV[3]) .. ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
"""

# KEYS: board. Answers member, payload, member, payload ...; whoever reads clears away what is over.
READ = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all = redis.call('HGETALL', KEYS[1])
local found = {}
for i = 1, #all, 2 do
  local colon = string.find(all[i + 1], ':', 1, true)
  if tonumber(string.sub(all[i + 1], 1, colon - 1)) > now then
    found[#found + 1] = all[i]
    found[#found + 1] = string.sub(all[i + 1], colon + 1)
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return found
"""

# KEYS: probe. A script, like all that is to work when this does.
PROBE = "return redis.call('SET', KEYS[1], '', 'PX', 1000)"
