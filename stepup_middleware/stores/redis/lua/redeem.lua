-- Redeem one token. Each condition is the opposite of one predicate of core.decisions; the factor itself is
-- looked up by the ledger. KEYS: the token. ARGV: the presentation as JSON. Returns 1 or 0 and the row, or nothing.
local names = {'state', 'epoch', 'workspace', 'subject', 'session', 'ip', 'purpose', 'request', 'details',
    'kind', 'issued_at', 'expires_at', 'body', 'attempt', 'redeemed', 'replays'}
local row = redis.call('HMGET', KEYS[1], unpack(names))
if not row[1] then
    return {}
end
local s = cjson.decode(ARGV[1])
local now, issued_at, expires_at = tonumber(s.now), tonumber(row[11]), tonumber(row[12])
if row[1] == 'issued'
    and row[2] == s.epoch
    and row[4] == s.subject
    and row[5] == s.session
    and row[3] == s.workspace
    and row[6] == s.ip
    and now < expires_at
    and now < issued_at + tonumber(s.ttl)
    and issued_at <= now + tonumber(s.skew)
    and row[7] == s.purpose
    and row[8] == s.request
    and row[9] == s.details
    and (s.strength == 0 or row[10] == 'passkey' or row[10] == 'hardware_key')
then
    redis.call('HSET', KEYS[1], 'state', 'redeemed', 'attempt', s.attempt, 'redeemed', s.redeemed)
    return {1, row[13]}
end
return {0, row[1], row[2], row[13], row[14], row[15], row[16]}
