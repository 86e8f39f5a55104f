-- Count one more presentation of a redeemed token. KEYS: the token. Returns the count, 0 when the token is gone.
if redis.call('EXISTS', KEYS[1]) == 0 then
    return 0
end
return redis.call('HINCRBY', KEYS[1], 'replays', 1)
