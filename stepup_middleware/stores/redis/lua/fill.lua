-- Open a prompt whose key was taken for it. KEYS: the prompt. ARGV: fields and values. 0 when it is gone.
-- Sent again after its answer was lost, it finds the prompt that it opened.
if redis.call('HGET', KEYS[1], 'state') ~= 'asking' then
    for place = 1, #ARGV, 2 do
        if redis.call('HGET', KEYS[1], ARGV[place]) ~= ARGV[place + 1] then
            return 0
        end
    end
    return 1
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
