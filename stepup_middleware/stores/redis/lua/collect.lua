-- Hand out a token that was approved elsewhere, once. KEYS: the token. ARGV: epoch, now, the body that was read, when its
-- life begins, when it ends, the body after that. 0 when it is not as it was read.
local row = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'expires_at', 'body')
if row[1] ~= 'uncollected' or row[2] ~= ARGV[1] or tonumber(row[3]) <= tonumber(ARGV[2]) or row[4] ~= ARGV[3] then
    return 0
end
redis.call('HSET', KEYS[1], 'state', 'issued', 'issued_at', ARGV[4], 'expires_at', ARGV[5], 'body', ARGV[6])
return 1
