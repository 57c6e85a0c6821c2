"""Hot path. What Redis does with funds in one step, in Lua. Numbers as in scripts.py, times as in claims.py.

What goes in and out of the two calls that requests wait for is one text each: to take apart a list of many values costs
the client several times what the text does.

The epoch is a hash: n its name, b when it began, o whether it is open, "j:<process>" each that joined. A fund is a hash: e
its epoch, s and c the sums, d whether it is seeded; "p:<process>" what it has spent, "q:<process>" its claim, "n:<process>"
when it last told, by its own clock; r and u when the recall began and ends. A fund of an earlier epoch is as good as gone.
An index is the set of the keys of those funds of which a process has a claim. Recalls are a sorted set of keys, by when
they end.

A server's clock may be set back: a recall that would last longer than any does is over.
"""

# KEYS: epoch, recalls, index, funds. ARGV: process, processes, when by the process's clock, and a line for each fund: spent,
# keeps, need, least, like, limit (- is none), since_ms, keep_ms, needs_seed (0 or 1). Answers a line for each: state (0 open,
# 1 closed, 2 unseeded), claim, got, spent, others, is_final; or X, where it comes to a number that is too large.
# A call whose connection was given up may arrive after a later one: it changes nothing.
CLAIM = """
local epoch = redis.call('HMGET', KEYS[1], 'n', 'b', 'o')
local is_open = epoch[3] == '1'
local process, processes, at = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local field_spent, field_claim, field_at = 'p:' .. process, 'q:' .. process, 'n:' .. process
local now
local function read_clock()
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return now
end
local function text(number)
  return string.format('%.0f', number)
end
local function claim(key, spent, keeps, need, least, like, limit, since, keep_ms, needs_seed)
  if not epoch[1] then
    local got = limit and 0 or need
    return string.format('1 %.0f %.0f 0 0 0', keeps + got, got)
  end
  local fund = redis.call('HMGET', key, 'e', 's', 'c', 'd', 'r', 'u', field_spent, field_claim, field_at)
  local is_stale = fund[1] and fund[1] ~= epoch[1]
  if is_stale then
    fund = {}
  end
  local known, own = tonumber(fund[7] or 0), tonumber(fund[8] or 0)
  local others = (tonumber(fund[3] or 0)) - own
  local is_late = fund[9] and tonumber(fund[9]) > tonumber(at)
  local told = is_late and known or math.max(spent, known)
  local all = (tonumber(fund[2] or 0)) - known + told
  local is_seeded = fund[4] == '1' or needs_seed == '0' or since >= epoch[2] + 60000
  local state = not is_open and 1 or is_seeded and 0 or 2
  if is_late then
    return string.format('%d %.0f 0 %.0f %.0f 0', state, own, all, others)
  end
  least = math.min(least, need)
  if least == 0 then
    least = need
  end
  local got, slack, is_refused = limit and 0 or need, 0, false
  local began, ends
  if limit and state == 0 then
    local room = limit - all - others - keeps
    is_refused = need > 0 and room < least
    if not is_refused then
      got = math.max(math.min(need, room), 0)
    end
    if fund[6] then
      began, ends = tonumber(fund[5]), tonumber(fund[6])
      if ends <= read_clock() or began > now or ends > now + 1000 then
        began = nil
      end
    end
    local left = room - got
    if not is_refused and not began and like > 0 and left > 0 then
      slack = math.min(like, (left - left % (4 * processes)) / (4 * processes))
    end
  end
  local has = keeps + got + slack
  local claimed = limit and has or 0
  if all + others + claimed > 9007199254740991 then
    return 'X'
  end
  if is_stale then
    redis.call('DEL', key)
  end
  redis.call('HSET', key, 'e', epoch[1], 's', text(all), 'c', text(others + claimed), 'd', is_seeded and '1' or '0',
    field_spent, text(told), field_claim, text(claimed), field_at, at)
  redis.call('PEXPIRE', key, all + others + claimed > 0 and keep_ms or math.min(keep_ms, 600000))
  if claimed > 0 and own == 0 then
    redis.call('SADD', KEYS[3], key)
  elseif claimed == 0 and own > 0 then
    redis.call('SREM', KEYS[3], key)
  end
  local is_final = is_refused and limit - all - keeps < least
  if is_refused and not is_final then
    began = began or read_clock()
    is_final = read_clock() - began >= 200
    redis.call('HSET', key, 'r', text(began), 'u', text(now + 1000))
    redis.call('ZADD', KEYS[2], text(now + 1000), key)
    redis.call('PEXPIRE', KEYS[2], 1000)
  end
  return string.format('%d %.0f %.0f %.0f %.0f %d', state, has, got, all, others, is_final and 1 or 0)
end
local answers = {}
local form = '(%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+) (%d+) (%d)'
for spent, keeps, need, least, like, limit, since, keep_ms, needs_seed in string.gmatch(ARGV[4], form) do
  answers[#answers + 1] = claim(KEYS[#answers + 4], tonumber(spent), tonumber(keeps), tonumber(need), tonumber(least),
    tonumber(like), tonumber(limit), tonumber(since), keep_ms, needs_seed)
end
return table.concat(answers, '\\n')
"""

# KEYS: epoch, fund. ARGV: the epoch that it has to be or nothing, since_ms, keep_ms, needs_seed; process, spent, process, ...
SEED = """
local epoch = redis.call('HMGET', KEYS[1], 'n', 'b', 'o')
if epoch[3] ~= '1' or (ARGV[1] ~= '' and ARGV[1] ~= epoch[1]) then
  return 0
end
local fund = redis.call('HMGET', KEYS[2], 'e', 's', 'c', 'd')
if fund[1] and fund[1] ~= epoch[1] then
  redis.call('DEL', KEYS[2])
  fund = {}
end
local all, new = tonumber(fund[2] or 0), {}
if fund[4] ~= '1' and ARGV[4] == '1' and tonumber(ARGV[2]) < epoch[2] + 60000 then
  for i = 5, #ARGV, 2 do
    if redis.call('HEXISTS', KEYS[2], 'p:' .. ARGV[i]) == 0 then
      new[#new + 1] = i
      all = all + tonumber(ARGV[i + 1])
      if all + (tonumber(fund[3] or 0)) > 9007199254740991 then
        return redis.error_reply('TOOLARGE')
      end
    end
  end
end
for _, i in ipairs(new) do
  redis.call('HSET', KEYS[2], 'p:' .. ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[2], 'e', epoch[1], 's', string.format('%.0f', all), 'c', fund[3] or '0', 'd', '1')
local is_used = all + (tonumber(fund[3] or 0)) > 0
redis.call('PEXPIRE', KEYS[2], is_used and ARGV[3] or math.min(ARGV[3], 600000))
return 1
"""

# KEYS: epoch, funds. ARGV: since_ms and needs_seed of each fund. Answers a line for each: state, spent, claimed.
LOOK = """
local epoch = redis.call('HMGET', KEYS[1], 'n', 'b', 'o')
local answers = {}
for i = 2, #KEYS do
  local fund = redis.call('HMGET', KEYS[i], 'e', 's', 'c', 'd')
  if epoch[3] ~= '1' then
    answers[#answers + 1] = '1 0 0'
  else
    if fund[1] ~= epoch[1] then
      fund = {}
    end
    local is_young = tonumber(ARGV[2 * i - 3]) >= epoch[2] + 60000
    local is_seeded = fund[4] == '1' or ARGV[2 * i - 2] == '0' or is_young
    answers[#answers + 1] = (is_seeded and '0 ' or '2 ') .. (fund[2] or '0') .. ' ' .. (fund[3] or '0')
  end
end
return table.concat(answers, '\\n')
"""

# KEYS: epoch, index, funds. ARGV: process, whether it is the last piece (0 or 1), and for each fund what the process has
# spent, or nothing.
SETTLE = """
local name = redis.call('HGET', KEYS[1], 'n')
local field_spent, field_claim = 'p:' .. ARGV[1], 'q:' .. ARGV[1]
local sums = {}
for i = 3, #KEYS do
  local fund = redis.call('HMGET', KEYS[i], 'e', 's', 'c', field_spent, field_claim)
  if name and fund[1] == name then
    local known = tonumber(fund[4] or 0)
    local told = tonumber(ARGV[i]) or known
    local all = fund[2] - known + told
    local claimed = fund[3] - (tonumber(fund[5] or 0))
    if all + claimed > 9007199254740991 then
      return redis.error_reply('TOOLARGE')
    end
    sums[i] = {string.format('%.0f', all), string.format('%.0f', claimed)}
  end
end
for i, sum in pairs(sums) do
  redis.call('HSET', KEYS[i], 's', sum[1], 'c', sum[2])
  redis.call('HDEL', KEYS[i], field_claim)
  redis.call('SREM', KEYS[2], KEYS[i])
  if ARGV[i] ~= '' then
    redis.call('HSET', KEYS[i], field_spent, ARGV[i])
  end
end
if ARGV[2] == '0' then
  return 1
end
redis.call('DEL', KEYS[2])
redis.call('HDEL', KEYS[1], 'j:' .. ARGV[1])
return 1
"""

# KEYS: index.
CLAIMED = "return redis.call('SMEMBERS', KEYS[1])"

# KEYS: epoch. Answers name, began_ms, is_open (0 or 1), processes; or nothing.
EPOCH = """
local all = redis.call('HGETALL', KEYS[1])
local of, found = {}, {}
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 2) == 'j:' then
    found[#found + 1] = string.sub(all[i], 3)
  else
    of[all[i]] = all[i + 1]
  end
end
return of.n and {of.n, of.b, of.o, unpack(found)} or {}
"""

# KEYS: epoch. ARGV: name.
BEGIN = """
if redis.call('EXISTS', KEYS[1]) == 0 then
  local time = redis.call('TIME')
  local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
  redis.call('HSET', KEYS[1], 'n', ARGV[1], 'b', now, 'o', '0')
end
return 1
"""

# KEYS: epoch. ARGV: name, a field of the epoch that is 1 from now on.
MARK = """
if redis.call('HGET', KEYS[1], 'n') == ARGV[1] then
  redis.call('HSET', KEYS[1], ARGV[2], '1')
end
return 1
"""

# KEYS: recalls. Answers keys.
RECALLED = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now + 1000))
"""
