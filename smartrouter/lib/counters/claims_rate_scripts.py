"""Hot path. What Redis does with rates in one step, in Lua. Its numbers and texts are as in claims_scripts.py.

A rate is two hashes. One of its slots by number, with u their sum, f the first one that may be left, b and r when the recall
began and ends; each call takes away what has left since the one before, so that none has to look at all slots. And one of
its processes, "<number> <has> <until>" each.

A server's clock may be set back: what would last longer than it ever does is over, and slots too far ahead are forgotten.
"""

# KEYS: recalls, and of each rate its slots and its processes. ARGV: process, processes, and for each rate number, has, need,
# like, limit, and the uses as age:amount. Answers a line for each: has, got, used, others, wait_ms, is_final; or X, where it
# comes to a number that is too large.
TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest = math.floor((now - 60000) / 100)
local process, processes = ARGV[1], tonumber(ARGV[2])
local function text(number)
  return string.format('%.0f', number)
end
local function read_slots(key, first, last)
  local names = {}
  for slot = first, last do
    names[#names + 1] = text(slot)
  end
  return names, #names > 0 and redis.call('HMGET', key, unpack(names)) or {}
end
local function forget(key, head)
  local sum, first = tonumber(head[1] or 0), tonumber(head[2] or oldest)
  if math.abs(oldest - first) > 600 then
    redis.call('DEL', key)
    return 0, oldest
  end
  local names, amounts = read_slots(key, first, oldest - 1)
  for _, amount in ipairs(amounts) do
    sum = sum - (tonumber(amount or 0))
  end
  if #names > 0 then
    redis.call('HDEL', key, unpack(names))
  end
  return sum, math.max(first, oldest)
end
local function tell(key, uses, sum, first)
  local slots = {}
  for age, amount in string.gmatch(uses, '(%d+):(-?%d+)') do
    local slot = math.floor((now - age) / 100)
    if string.sub(amount, 1, 1) == '-' then
      slot = slot - 1
    end
    if slot >= first then
      sum = sum + tonumber(amount)
      slots[#slots + 1] = {text(slot), amount}
    end
  end
  if math.abs(sum) > 9007199254740991 then
    return nil
  end
  for _, slot in ipairs(slots) do
    redis.call('HINCRBY', key, slot[1], slot[2])
  end
  return sum
end
local function read_processes(key)
  local all = redis.call('HGETALL', key)
  local highest, known, others, last = nil, 0, 0, now
  for i = 1, #all, 2 do
    local number, has, ends = string.match(all[i + 1], '^(%d+) (%d+) (%d+)$')
    has, ends = tonumber(has), tonumber(ends)
    local is_alive = ends > now and ends <= now + 3000
    if ends <= now - 67000 then
      redis.call('HDEL', key, all[i])
    elseif all[i] == process then
      highest, known = tonumber(number), is_alive and has or 0
    elseif is_alive and has > 0 then
      others, last = others + has, math.max(last, ends)
    end
  end
  return highest, known, others, last
end
local function leave_ms(key, first, missing)
  if missing <= 0 then
    return 0
  end
  for from = first, math.floor(now / 100), 100 do
    local _, amounts = read_slots(key, from, math.min(from + 99, math.floor(now / 100)))
    for i, amount in ipairs(amounts) do
      missing = missing - (tonumber(amount or 0))
      if missing <= 0 then
        return (from + i) * 100 + 60000 - now
      end
    end
  end
  return 60000
end
local function take(slots, takers, number, has, need, like, limit, uses)
  local head = redis.call('HMGET', slots, 'u', 'f', 'b', 'r')
  local sum, first = forget(slots, head)
  local highest, known, others, last = read_processes(takers)
  local is_new = not highest or number > highest
  local told = sum
  if is_new then
    told = tell(slots, uses, sum, first)
  end
  redis.call('HSET', slots, 'u', text(told or sum), 'f', text(first))
  redis.call('PEXPIRE', slots, 70000)
  if not told then
    return 'X'
  end
  local used = math.max(told, 0)
  if highest and number < highest then
    return string.format('%.0f 0 %.0f %.0f 0 0', known, used, others)
  end
  has = math.min(has, known)
  local room = limit - used - others - has
  local began, ends = tonumber(head[3] or 0), tonumber(head[4] or 0)
  if ends <= now or began > now or ends > now + 1000 then
    began = nil
  end
  local got, slack, wait, is_final = need, 0, 0, false
  if need > 0 and need > room then
    got = 0
    is_final = limit - used - has < need
    if not is_final then
      began = began or now
      is_final = now - began >= 200
      redis.call('HSET', slots, 'b', text(began), 'r', text(now + 1000))
      redis.call('ZADD', KEYS[1], text(now + 1000), slots)
      redis.call('PEXPIRE', KEYS[1], 1000)
    end
    local without_others = math.max(last - now, leave_ms(slots, first, need - room - others))
    wait = math.min(leave_ms(slots, first, need - room), without_others)
  elseif not began and like > 0 and room > got then
    local left = room - got
    slack = math.min(like, (left - left % (4 * processes)) / (4 * processes))
  end
  has = has + got + slack
  redis.call('HSET', takers, process, text(number) .. ' ' .. text(has) .. ' ' .. text(now + 3000))
  redis.call('PEXPIRE', takers, 70000)
  return string.format('%.0f %.0f %.0f %.0f %.0f %d', has, got, used, others, wait, is_final and 1 or 0)
end
local answers = {}
for i = 3, #ARGV do
  local number, has, need, like, limit, uses = string.match(ARGV[i], '^(%d+) (%d+) (%d+) (%d+) (%d+)(.*)$')
  answers[#answers + 1] = take(KEYS[2 * i - 4], KEYS[2 * i - 3], tonumber(number), tonumber(has), tonumber(need),
    tonumber(like), tonumber(limit), uses)
end
return table.concat(answers, '\\n')
"""
