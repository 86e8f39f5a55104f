-- Take the challenge of an open prompt. KEYS: the prompt. ARGV: epoch, now. Returns the challenge, or nothing.
local row = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'expires_at', 'challenge')
if row[1] ~= 'open' or row[2] ~= ARGV[1] or tonumber(row[3]) <= tonumber(ARGV[2]) then
    return false
end
redis.call('HDEL', KEYS[1], 'challenge')
return row[4]
