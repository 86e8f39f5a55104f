-- Revoke one token. KEYS: the token. ARGV: why; the attempt that had redeemed it, or nothing; a moment that its
-- life must outlast, or nothing. Only an issued token is revoked, or one that nobody has collected, or the one whose authorization was refused.
local row = redis.call('HMGET', KEYS[1], 'state', 'attempt', 'expires_at')
local ours = row[1] == 'redeemed' and ARGV[2] ~= '' and row[2] == ARGV[2]
if row[1] ~= 'issued' and row[1] ~= 'uncollected' and not ours then
    return 0
end
if ARGV[3] ~= '' and tonumber(row[3]) <= tonumber(ARGV[3]) then
    return 0
end
redis.call('HSET', KEYS[1], 'state', 'revoked', 'revoked', ARGV[1])
return 1
