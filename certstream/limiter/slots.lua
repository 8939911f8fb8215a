-- The slots of one user (KEYS[1]: a hash), in one step: give back, freeze, take.
-- ARGV: qps, lease (ms), id to take or '', milliseconds to freeze, then ids to give back.
-- Fields: last (time of the last call), run (the server's run_id), frozen (until when), s:ID (when that slot was taken).
-- Answers {1 if taken, calls under way, milliseconds that the freeze still lasts}.
local key, qps, lease = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local last = tonumber(redis.call('HGET', key, 'last') or nil)
if not last or redis.call('HGET', key, 'run') ~= run then
  -- Nothing is known of what others hold, whatever their qps: first use, FLUSHALL, eviction, a restart, a fail-over.
  redis.call('DEL', key)
  for n = 1, 10 do redis.call('HSET', key, 's:~' .. n, now) end
  redis.call('HSET', key, 'run', run)
  last = now
end
local frozen = tonumber(redis.call('HGET', key, 'frozen') or '0')
-- Nobody asked for longer than 2 s, or the clock stepped: which of the two, nothing tells. The leases count 2 s of it.
local back, unsure = now < last, math.max(0, now - last - 2000)
if back and frozen > last then frozen = now + frozen - last end
for n = 5, #ARGV do redis.call('HDEL', key, 's:' .. ARGV[n]) end
local held = 0
local fields = redis.call('HGETALL', key)
for n = 1, #fields, 2 do
  if string.sub(fields[n], 1, 2) == 's:' then
    local since = back and now or tonumber(fields[n + 1]) + unsure
    if now - since >= lease then
      redis.call('HDEL', key, fields[n])
    else
      if back or unsure > 0 then redis.call('HSET', key, fields[n], since) end
      held = held + 1
    end
  end
end
frozen = math.max(frozen, tonumber(ARGV[4]) > 0 and now + tonumber(ARGV[4]) or 0)
local taken = 0
if ARGV[3] ~= '' and held < qps and now >= frozen then
  redis.call('HSET', key, 's:' .. ARGV[3], now)
  taken, held = 1, held + 1
end
redis.call('HSET', key, 'last', now, 'frozen', frozen)
return {taken, held, math.max(0, frozen - now)}
