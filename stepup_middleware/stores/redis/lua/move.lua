-- Move a prompt from one state to another. KEYS: the prompt. ARGV: epoch, now, from, to, the token or nothing.
-- An open prompt must not have expired. Returns 1 or 0, the state and the token that are there, and the epoch.
local row = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'expires_at', 'token')
if row[1] ~= ARGV[3] or row[2] ~= ARGV[1] or (row[1] == 'open' and tonumber(row[3]) <= tonumber(ARGV[2])) then
    return {0, row[2] == ARGV[1] and row[1] or '', row[4] or '', ARGV[1]}
end
redis.call('HSET', KEYS[1], 'state', ARGV[4])
if ARGV[4] == 'open' then
    redis.call('HDEL', KEYS[1], 'token')
elseif ARGV[5] ~= '' then
    redis.call('HSET', KEYS[1], 'token', ARGV[5])
end
if ARGV[4] ~= 'open' then
    redis.call('HDEL', KEYS[1], 'challenge')
end
return {1, ARGV[4], row[4] or ARGV[5], ARGV[1]}
