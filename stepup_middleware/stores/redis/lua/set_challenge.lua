-- Set the challenge of an open prompt. KEYS: the prompt. ARGV: epoch, now, the challenge.
local row = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'expires_at')
if row[1] ~= 'open' or row[2] ~= ARGV[1] or tonumber(row[3]) <= tonumber(ARGV[2]) then
    return 0
end
redis.call('HSET', KEYS[1], 'challenge', ARGV[3])
return 1
