-- name: cancel_token
UPDATE stepup.tokens SET state = 'revoked', revoked = 'cancelled'
WHERE id = $1 AND state IN ('issued', 'uncollected') AND expires_at > $2;

-- name: collect_token
UPDATE stepup.tokens SET state = 'issued', issued_at = $2, expires_at = $3, mac = $4
WHERE id = $1 AND state = 'uncollected';

-- name: begin_epoch
UPDATE stepup.meta SET epoch = epoch + 1;

-- name: read_hot_epoch
SELECT epoch, hot FROM stepup.meta;

-- name: begin_hot_epoch
UPDATE stepup.meta SET epoch = epoch + 1, hot = $1 WHERE epoch = $2;
