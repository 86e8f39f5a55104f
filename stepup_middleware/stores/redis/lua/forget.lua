-- Forget a presenter of a redeemed token. KEYS: the token. ARGV: the presenter's digest, the bytes of each.
local presenter, bytes = ARGV[1], tonumber(ARGV[2])
local told = redis.call('HGET', KEYS[1], 'presenters') or ''
for at = 1, #told, bytes do
    if string.sub(told, at, at + bytes - 1) == presenter then
        redis.call('HSET', KEYS[1], 'presenters', string.sub(told, 1, at - 1) .. string.sub(told, at + bytes))
        return 1
    end
end
return 0
