-- Take a place among the open prompts of a session. KEYS: the session's open prompts, its refusals.
-- ARGV: prompt id, its end, now, the limit, milliseconds to keep this, microseconds between two events, whether the places
-- were looked through. Returns {1}; {2} where they are taken and were not; or {0, the soonest end or '', whether to log, how
-- many were not logged before}. Sent again after its answer was lost, it finds the place that it took.
local now = tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
if redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[4]) or redis.call('ZSCORE', KEYS[1], ARGV[1]) then
    redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
    redis.call('PEXPIRE', KEYS[1], ARGV[5])
    return {1}
end
if ARGV[7] == '0' then
    return {2}
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local refused = redis.call('HMGET', KEYS[2], 'logged_at', 'unlogged')
local log, unlogged = 1, tonumber(refused[2] or '0')
if refused[1] and math.abs(now - tonumber(refused[1])) < tonumber(ARGV[6]) then
    log = 0
    redis.call('HINCRBY', KEYS[2], 'unlogged', 1)
else
    redis.call('HSET', KEYS[2], 'logged_at', ARGV[3], 'unlogged', 0)
end
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return {0, first[2] or '', log, unlogged}
