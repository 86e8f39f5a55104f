-- name: get_prompt
SELECT id, workspace, subject, session, state, created_at, expires_at, body, mac FROM stepup.prompts
WHERE id = $1 AND expires_at > $2 AND epoch = (SELECT m.epoch FROM stepup.meta AS m);

-- name: count_blocked_request
-- $4 is now, $5 when a place that is taken now is free again.
INSERT INTO stepup.refused_sessions AS r (workspace, subject, session, logged_at, unlogged, blocked, blocked_until)
VALUES ($1, $2, $3, 0, 0, 1, $5)
ON CONFLICT (workspace, subject, session) DO UPDATE SET
    blocked = CASE WHEN r.blocked_until > $4 THEN r.blocked + 1 ELSE 1 END,
    blocked_until = CASE WHEN r.blocked_until > $4 THEN r.blocked_until ELSE excluded.blocked_until END;

-- name: read_refused_session
SELECT logged_at, unlogged FROM stepup.refused_sessions WHERE workspace = $1 AND subject = $2 AND session = $3;

-- name: note_refused_session
INSERT INTO stepup.refused_sessions (workspace, subject, session, logged_at, unlogged) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace, subject, session) DO UPDATE
SET logged_at = excluded.logged_at, unlogged = excluded.unlogged;

-- name: set_challenge
UPDATE stepup.prompts SET challenge_nonce = $3, challenge_factors = $4, challenge_expires_at = $5
WHERE id = $1 AND state = 'open' AND expires_at > $2 AND epoch = (SELECT m.epoch FROM stepup.meta AS m);

-- name: lock_challenge
SELECT challenge_nonce, challenge_factors, challenge_expires_at FROM stepup.prompts
WHERE id = $1 AND state = 'open' AND expires_at > $2 AND epoch = (SELECT m.epoch FROM stepup.meta AS m)
  AND challenge_nonce IS NOT NULL
FOR UPDATE;

-- name: clear_challenge
UPDATE stepup.prompts SET challenge_nonce = NULL, challenge_factors = NULL, challenge_expires_at = NULL
WHERE id = $1;

-- name: prompt_to_cancel
SELECT state, expires_at, token FROM stepup.prompts
WHERE id = $1 AND state IN ('open', 'proved') AND epoch = (SELECT m.epoch FROM stepup.meta AS m)
FOR UPDATE;

-- name: cancel_prompt
UPDATE stepup.prompts
SET state = 'cancelled', challenge_nonce = NULL, challenge_factors = NULL, challenge_expires_at = NULL
WHERE id = $1;

-- name: cancel_prompts_of_session
UPDATE stepup.prompts
SET state = 'cancelled', challenge_nonce = NULL, challenge_factors = NULL, challenge_expires_at = NULL
WHERE workspace = $1 AND subject = $2 AND (session = $3 OR session LIKE $3 || '.%') AND state <> 'cancelled'
RETURNING token;

-- name: lock_attempts
-- Makes the row when there is none, so that there is one to lock: parallel attempts share the count.
INSERT INTO stepup.attempts (workspace, subject, bucket, failed, closed_until) VALUES ($1, $2, $3, 0, 0)
ON CONFLICT (workspace, subject, bucket) DO UPDATE SET failed = attempts.failed
RETURNING failed, closed_until;

-- name: count_attempt
UPDATE stepup.attempts SET failed = $4, closed_until = $5 WHERE workspace = $1 AND subject = $2 AND bucket = $3;

-- name: read_policy
-- One statement, so that the policy and the last word of the log on it are of one moment.
SELECT p.workspace, p.version, p.requirements, p.mac, a.body
FROM (SELECT 1 AS one) AS o
LEFT JOIN stepup.policies AS p ON p.workspace = $1
LEFT JOIN stepup.audit AS a ON a.seq = (
    SELECT max(l.seq) FROM stepup.audit AS l WHERE l.workspace = $1 AND l.event = 'POLICY_CHANGED'
);

-- name: put_policy
INSERT INTO stepup.policies (workspace, version, requirements, mac) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace) DO UPDATE
SET version = excluded.version, requirements = excluded.requirements, mac = excluded.mac;
