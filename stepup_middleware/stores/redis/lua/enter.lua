-- Note the epoch that this server serves; it only grows. KEYS: the epoch. ARGV: its number.
local noted = tonumber(redis.call('GET', KEYS[1]) or '0')
if noted < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], ARGV[1])
end
return 1
