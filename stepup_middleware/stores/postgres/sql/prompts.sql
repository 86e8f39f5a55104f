-- name: lock_sessions
-- $1 is sorted: two nodes that ask for the same sessions wait for each other in one order.
SELECT pg_advisory_xact_lock(1398030678, k) FROM unnest($1::integer[]) AS k;

-- name: open_prompts
-- A cancelled prompt keeps its place until it would have expired: else who asks and cancels asks without end.
SELECT s.n, count(p.id) + coalesce(max(r.blocked), 0), least(min(p.expires_at), max(r.blocked_until))
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    WITH ORDINALITY AS s (workspace, subject, session, now, n)
LEFT JOIN stepup.prompts AS p
    ON p.workspace = s.workspace AND p.subject = s.subject AND p.session = s.session
    AND p.state <> 'proved' AND p.expires_at > s.now AND p.epoch = (SELECT m.epoch FROM stepup.meta AS m)
LEFT JOIN stepup.refused_sessions AS r
    ON r.workspace = s.workspace AND r.subject = s.subject AND r.session = s.session AND r.blocked_until > s.now
GROUP BY s.n ORDER BY s.n;

-- name: policies_of
SELECT v.workspace, v.version, p.purpose, p.requirement
FROM stepup.policy_versions AS v LEFT JOIN stepup.policies AS p ON p.workspace = v.workspace
WHERE v.workspace = ANY ($1::text[]);

-- name: factors_of
SELECT f.workspace, f.subject, f.id, f.kind
FROM unnest($1::text[], $2::text[]) AS s (workspace, subject)
JOIN stepup.factors AS f ON f.workspace = s.workspace AND f.subject = s.subject
ORDER BY f.created_at, f.id;

-- name: insert_prompts
INSERT INTO stepup.prompts (epoch, state, id, workspace, subject, session, created_at, expires_at, body)
SELECT (SELECT m.epoch FROM stepup.meta AS m), 'open', s.*
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[]) AS s;

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

-- name: get_prompt
SELECT id, workspace, subject, session, state, created_at, expires_at, body FROM stepup.prompts
WHERE id = $1 AND expires_at > $2 AND epoch = (SELECT m.epoch FROM stepup.meta AS m);

-- name: set_challenge
UPDATE stepup.prompts SET challenge_nonce = $3, challenge_factors = $4, challenge_expires_at = $5
WHERE id = $1 AND state = 'open' AND expires_at > $2 AND epoch = (SELECT m.epoch FROM stepup.meta AS m);

-- name: pop_challenge
WITH found AS (
    SELECT p.number, p.challenge_nonce, p.challenge_factors, p.challenge_expires_at FROM stepup.prompts AS p
    WHERE p.id = $1 AND p.state = 'open' AND p.expires_at > $2
      AND p.epoch = (SELECT m.epoch FROM stepup.meta AS m) AND p.challenge_nonce IS NOT NULL
    FOR UPDATE
)
UPDATE stepup.prompts AS p
SET challenge_nonce = NULL, challenge_factors = NULL, challenge_expires_at = NULL
FROM found WHERE p.number = found.number
RETURNING found.challenge_nonce, found.challenge_factors, found.challenge_expires_at;

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
WHERE workspace = $1 AND subject = $2 AND session = $3 AND state <> 'cancelled'
RETURNING token;

-- name: read_attempts
-- Makes the row when there is none, so that there is one to lock: parallel attempts share the count.
INSERT INTO stepup.attempts (workspace, subject, bucket, failed, closed_until) VALUES ($1, $2, $3, 0, 0)
ON CONFLICT (workspace, subject, bucket) DO UPDATE SET failed = attempts.failed
RETURNING failed, closed_until;

-- name: count_attempt
UPDATE stepup.attempts SET failed = $4, closed_until = $5 WHERE workspace = $1 AND subject = $2 AND bucket = $3;

-- name: clear_attempts
DELETE FROM stepup.attempts AS a
USING unnest($1::text[], $2::text[], $3::text[]) AS s (workspace, subject, bucket)
WHERE a.workspace = s.workspace AND a.subject = s.subject AND a.bucket = s.bucket;

-- name: read_policy
-- One statement, so that version and values are of one moment.
SELECT v.version, p.purpose, p.requirement
FROM stepup.policy_versions AS v LEFT JOIN stepup.policies AS p ON p.workspace = v.workspace
WHERE v.workspace = $1;

-- name: set_requirements
INSERT INTO stepup.policies (workspace, purpose, requirement)
SELECT $1, s.purpose, s.requirement FROM unnest($2::text[], $3::text[]) AS s (purpose, requirement)
ON CONFLICT (workspace, purpose) DO UPDATE SET requirement = excluded.requirement;

-- name: advance_policy_version
INSERT INTO stepup.policy_versions (workspace, version) VALUES ($1, 1)
ON CONFLICT (workspace) DO UPDATE SET version = policy_versions.version + 1;
