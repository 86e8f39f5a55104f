-- name: redeem
-- Each condition is the opposite of one predicate of core.decisions, in the order of its table. Where two
-- presentations of a batch show the same token, one of them redeems it: the row's attempt tells which.
UPDATE tokens AS t
SET state = 'redeemed',
    batch = s.batch,
    attempt = s.attempt,
    redeemed_at = s.now,
    redeemed_ip = s.ip,
    redeemed_user_agent = s.user_agent
FROM (
    SELECT
        column1 AS batch, column2 AS id, column3 AS nonce, column4 AS attempt, column5 AS workspace, column6
        AS subject, column7 AS session, column8 AS ip, column9 AS user_agent, column10 AS purpose, column11
        AS ttl, column12 AS strength, column13 AS request_digest, column14 AS details_digest, column15 AS
        now, column16 AS latest_issue
    FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))
) AS s
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
  AND t.issued_at <= s.latest_issue
  AND t.purpose = s.purpose
  AND t.request_digest = s.request_digest
  AND t.details_digest = s.details_digest
  AND EXISTS (
      SELECT 1 FROM factors AS f
      WHERE f.id = t.factor AND f.workspace = t.workspace AND f.subject = t.subject
  )
  AND (s.strength = 0 OR t.factor_kind IN ('passkey', 'hardware_key'));

-- name: redeemed_in_batch
-- All in one row: the interpreter's lock is then let go once, not once a token.
SELECT json_group_array(json_array(
    id, hex(attempt), prompt, factor, factor_kind, requirement, policy_version, issued_at, expires_at
))
FROM tokens
WHERE id IN (SELECT shown.value FROM json_each(?) AS shown) AND batch = ? AND state = 'redeemed';

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
    epoch, nonce, state, prompt, workspace, subject, session, ip, purpose, requirement, policy_version,
    request_digest, details_digest, factor, factor_kind, issued_at, expires_at
) VALUES (?, ?, 'issued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: purge_tokens
-- Looks at the oldest rows only, so that a purge with nothing to do reads no more than its limit.
DELETE FROM tokens WHERE id IN (
    SELECT o.id FROM (SELECT id, expires_at FROM tokens ORDER BY id LIMIT :limit) AS o WHERE o.expires_at <= :over
);
