-- Open a prompt whose key was taken for it. KEYS: the prompt. ARGV: fields and values. 0 when it is gone.
if redis.call('HGET', KEYS[1], 'state') ~= 'asking' then
    return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
