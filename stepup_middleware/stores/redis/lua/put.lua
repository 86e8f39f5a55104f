-- Write a new hash with a life. KEYS: its key. ARGV: milliseconds, then fields and values. 0 when another one exists.
-- Sent again after its answer was lost, it finds its own: fields that no other caller could write.
if redis.call('EXISTS', KEYS[1]) == 1 then
    for place = 2, #ARGV, 2 do
        if redis.call('HGET', KEYS[1], ARGV[place]) ~= ARGV[place + 1] then
            return 0
        end
    end
    return 1
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
