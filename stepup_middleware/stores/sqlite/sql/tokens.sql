-- name: stage
INSERT INTO temp.shown VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: unstage
DELETE FROM temp.shown;

-- name: redeem
-- Each condition is the opposite of one predicate of core.decisions, in the order of its table. Where two
-- presentations of a batch show the same token, one of them redeems it: the row's attempt tells which.
UPDATE tokens AS t
SET state = 'redeemed',
    attempt = s.attempt,
    redeemed_at = s.now,
    redeemed_ip = s.ip,
    redeemed_user_agent = s.user_agent
FROM temp.shown AS s
WHERE t.id = s.id
  AND t.nonce = s.nonce
  AND t.state = 'issued'
  AND t.epoch = (SELECT m.epoch FROM meta AS m)
  AND t.subject = s.subject
  AND t.session = s.session
  AND t.workspace = s.workspace
  AND t.ip = s.ip
  AND s.now < t.expires_at
  AND s.now < t.issued_at + s.ttl
  AND t.issued_at <= s.now + :skew
  AND t.purpose = s.purpose
  AND t.request_digest = s.request_digest
  AND t.details_digest = s.details_digest
  AND EXISTS (
      SELECT 1 FROM factors AS f
      WHERE f.id = t.factor AND f.workspace = t.workspace AND f.subject = t.subject
  )
  AND (s.strength = 0 OR t.factor_kind IN ('passkey', 'hardware_key'))
RETURNING
    id, nonce, state, prompt, workspace, subject, session, ip, purpose, requirement, policy_version,
    request_digest, details_digest, factor, factor_kind, issued_at, expires_at, attempt, redeemed_at,
    redeemed_ip, redeemed_user_agent, replays;

-- name: read_token
-- The row as core.decisions judges it: an unredeemed token of an earlier epoch is a revoked one.
SELECT
    t.id, t.nonce,
    CASE WHEN t.state = 'issued' AND t.epoch <> (SELECT m.epoch FROM meta AS m) THEN 'revoked' ELSE t.state END,
    t.prompt, t.workspace, t.subject, t.session, t.ip, t.purpose, t.requirement, t.policy_version,
    t.request_digest, t.details_digest, t.factor, t.factor_kind, t.issued_at, t.expires_at, t.attempt,
    t.redeemed_at, t.redeemed_ip, t.redeemed_user_agent, t.replays,
    EXISTS (
        SELECT 1 FROM factors AS f
        WHERE f.id = t.factor AND f.workspace = t.workspace AND f.subject = t.subject
    )
FROM tokens AS t
WHERE t.id = ?;

-- name: revoke_token
UPDATE tokens SET state = 'revoked', revoked = ? WHERE id = ? AND state = 'issued';

-- name: cancel_token
UPDATE tokens SET state = 'revoked', revoked = 'cancelled' WHERE id = ? AND state = 'issued' AND expires_at > ?;

-- name: revoke_tokens_of_session
UPDATE tokens SET state = 'revoked', revoked = 'session'
WHERE state = 'issued'
  AND id IN (SELECT p.token FROM prompts AS p WHERE p.workspace = ? AND p.subject = ? AND p.session = ?);

-- name: count_replay
UPDATE tokens SET replays = replays + 1 WHERE id = ? RETURNING replays;

-- name: insert_token
INSERT INTO tokens (
    nonce, epoch, state, prompt, workspace, subject, session, ip, purpose, requirement, policy_version,
    request_digest, details_digest, factor, factor_kind, issued_at, expires_at
) VALUES (?, ?, 'issued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: purge_tokens
-- Looks at the oldest rows only, so that a purge with nothing to do reads no more than its limit.
DELETE FROM tokens WHERE id IN (
    SELECT o.id FROM (SELECT id, expires_at FROM tokens ORDER BY id LIMIT :limit) AS o WHERE o.expires_at <= :over
);
