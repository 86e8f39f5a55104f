-- Count one more presentation of a redeemed token, and remember its presenter, as core.replays does. KEYS: the token.
-- ARGV: the presenter's digest, how many are remembered, the bytes of each.
-- Returns how often it was presented, the presenters that are remembered, and whether this one is new among them.
local presenter, most, bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if redis.call('EXISTS', KEYS[1]) == 0 then
    return {1, presenter, 1}
end
local count = redis.call('HINCRBY', KEYS[1], 'replays', 1)
local told = redis.call('HGET', KEYS[1], 'presenters') or ''
if #told >= most * bytes then
    return {count, told, 0}
end
for at = 1, #told, bytes do
    if string.sub(told, at, at + bytes - 1) == presenter then
        return {count, told, 0}
    end
end
redis.call('HSET', KEYS[1], 'presenters', told .. presenter)
return {count, told .. presenter, 1}
