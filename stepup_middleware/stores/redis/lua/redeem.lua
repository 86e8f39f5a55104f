-- Redeem one token. Each condition is the opposite of one predicate of core.decisions; the factor itself is
-- looked up by the ledger. KEYS: the token. ARGV: the presentation (see shown_arguments). Returns 1 or 0 and the
-- row, or nothing.
local row = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'workspace', 'subject', 'session', 'ip', 'purpose',
    'request', 'details', 'kind', 'issued_at', 'expires_at', 'body', 'attempt', 'redeemed', 'replays')
if not row[1] then
    return {}
end
local epoch, attempt, workspace, subject, session, ip, purpose, request, details, redeemed = unpack(ARGV, 1, 10)
local ttl, strength, now, skew = tonumber(ARGV[11]), ARGV[12], tonumber(ARGV[13]), tonumber(ARGV[14])
local issued_at, expires_at = tonumber(row[11]), tonumber(row[12])
if row[1] == 'issued'
    and row[2] == epoch
    and row[4] == subject
    and row[5] == session
    and row[3] == workspace
    and row[6] == ip
    and now < expires_at
    and now < issued_at + ttl
    and issued_at <= now + skew
    and row[7] == purpose
    and row[8] == request
    and row[9] == details
    and (strength == '0' or row[10] == 'passkey' or row[10] == 'hardware_key')
then
    redis.call('HSET', KEYS[1], 'state', 'redeemed', 'attempt', attempt, 'redeemed', redeemed)
    return {1, row[13]}
end
return {0, row[1], row[2], row[13], row[14], row[15], row[16]}
