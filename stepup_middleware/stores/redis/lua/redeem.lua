-- Redeem one token. Each condition is the opposite of predicates of core.decisions, all that the token is bound to
-- being compared in one digest; the factor itself is looked up by the records behind. KEYS: the token. ARGV: the presentation
-- (see shown_arguments). Returns 1 or 0 and the row, or nothing.
local row = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'bound', 'kind', 'issued_at', 'expires_at', 'body',
    'attempt', 'redeemed', 'replays', 'presenters')
if not row[1] then
    return {}
end
local epoch, attempt, bound, redeemed, ttl, strength, now, skew = unpack(ARGV)
local issued_at, expires_at = tonumber(row[5]), tonumber(row[6])
ttl, now, skew = tonumber(ttl), tonumber(now), tonumber(skew)
if row[1] == 'issued'
    and row[2] == epoch
    and row[3] == bound
    and now < expires_at
    and now < issued_at + ttl
    and issued_at <= now + skew
    and (strength == '0' or row[4] == 'passkey' or row[4] == 'hardware_key')
then
    redis.call('HSET', KEYS[1], 'state', 'redeemed', 'attempt', attempt, 'redeemed', redeemed)
    return {1, row[7]}
end
return {0, row[1], row[2], row[7], row[8], row[9], row[10], row[11]}
