-- Write fields of a hash. KEYS: its key. ARGV: the state in which it must be, '' where there must be none yet; milliseconds
-- to keep it, '' where it is kept as it was; then fields and values, the state among them. 0 when it is in another state.
-- Sent again after its answer was lost, it finds its own: fields that no other caller could write.
if (redis.call('HGET', KEYS[1], 'state') or '') ~= ARGV[1] then
    for place = 3, #ARGV, 2 do
        if redis.call('HGET', KEYS[1], ARGV[place]) ~= ARGV[place + 1] then
            return 0
        end
    end
    return 1
end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
if ARGV[2] ~= '' then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
