-- name: insert_prompt
INSERT INTO prompts (epoch, id, workspace, subject, session, state, created_at, expires_at, body)
SELECT column1, column2, column3, column4, column5, 'open', column6, column7, column8
FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?)) WHERE column1 IS NOT NULL;

-- name: read_for_asking
-- All that decides what is asked, for a whole batch in one row: place in the batch, the session's places that are
-- taken, the workspace's policy, the person's factors.
-- A cancelled prompt keeps its place until it would have expired: else who asks and cancels asks without end.
SELECT json_group_array(json_array(
    s.place,
    json((
        SELECT json_array(count(*), min(p.expires_at)) FROM prompts AS p
        WHERE p.workspace = s.workspace AND p.subject = s.subject AND p.session = s.session
          AND p.state <> 'proved' AND p.expires_at > s.now AND p.epoch = s.epoch
    )),
    json((
        SELECT json_array(r.blocked, r.blocked_until) FROM refused_sessions AS r
        WHERE r.workspace = s.workspace AND r.subject = s.subject AND r.session = s.session AND r.blocked_until > s.now
    )),
    (SELECT v.version FROM policy_versions AS v WHERE v.workspace = s.workspace),
    json((SELECT json_group_object(o.purpose, o.requirement) FROM policies AS o WHERE o.workspace = s.workspace)),
    json((
        SELECT json_group_array(json_array(f.id, f.kind)) FROM (
            SELECT id, kind FROM factors AS e WHERE e.workspace = s.workspace AND e.subject = s.subject
            ORDER BY e.created_at, e.id
        ) AS f
    ))
))
FROM (
    SELECT column1 AS place, column2 AS workspace, column3 AS subject, column4 AS session, column5 AS now, column6 AS epoch
    FROM (VALUES (?, ?, ?, ?, ?, ?))
) AS s
WHERE s.place IS NOT NULL;

-- name: count_blocked_request
INSERT INTO refused_sessions AS r (workspace, subject, session, logged_at, unlogged, blocked, blocked_until)
VALUES (:workspace, :subject, :session, 0, 0, 1, :until)
ON CONFLICT DO UPDATE SET
    blocked = CASE WHEN r.blocked_until > :now THEN r.blocked + 1 ELSE 1 END,
    blocked_until = CASE WHEN r.blocked_until > :now THEN r.blocked_until ELSE excluded.blocked_until END;

-- name: read_refused_session
SELECT logged_at, unlogged FROM refused_sessions WHERE workspace = ? AND subject = ? AND session = ?;

-- name: note_refused_session
INSERT INTO refused_sessions (workspace, subject, session, logged_at, unlogged) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET logged_at = excluded.logged_at, unlogged = excluded.unlogged;

-- name: get_prompt
SELECT id, workspace, subject, session, state, created_at, expires_at, body FROM prompts
WHERE id = ? AND expires_at > ? AND epoch = (SELECT m.epoch FROM meta AS m);

-- name: set_challenge
UPDATE prompts SET challenge_nonce = :nonce, challenge_factors = :factors, challenge_expires_at = :expires_at
WHERE id = :id AND state = 'open' AND expires_at > :now AND epoch = :epoch;

-- name: read_challenge
SELECT challenge_nonce, challenge_factors, challenge_expires_at FROM prompts
WHERE id = ? AND state = 'open' AND expires_at > ? AND epoch = ? AND challenge_nonce IS NOT NULL;

-- name: clear_challenge
UPDATE prompts SET challenge_nonce = NULL, challenge_factors = NULL, challenge_expires_at = NULL WHERE id = ?;

-- name: prompt_is_open
SELECT 1 FROM prompts WHERE id = ? AND state = 'open' AND expires_at > ? AND epoch = ?;

-- name: prove_prompt
UPDATE prompts
SET state = 'proved', token = ?, challenge_nonce = NULL, challenge_factors = NULL, challenge_expires_at = NULL
WHERE id = ? AND state = 'open';

-- name: prompt_to_cancel
SELECT state, expires_at, token FROM prompts WHERE id = ? AND state IN ('open', 'proved') AND epoch = ?;

-- name: cancel_prompt
UPDATE prompts
SET state = 'cancelled', challenge_nonce = NULL, challenge_factors = NULL, challenge_expires_at = NULL
WHERE id = ?;

-- name: cancel_prompts_of_session
UPDATE prompts
SET state = 'cancelled', challenge_nonce = NULL, challenge_factors = NULL, challenge_expires_at = NULL
WHERE workspace = ? AND subject = ? AND session = ? AND state IN ('open', 'proved');

-- name: purge_prompts
DELETE FROM prompts WHERE number IN (
    SELECT o.number FROM (SELECT number, expires_at FROM prompts ORDER BY number LIMIT :limit) AS o
    WHERE o.expires_at <= :over
);

-- name: purge_refused_sessions
DELETE FROM refused_sessions WHERE (workspace, subject, session) IN (
    SELECT workspace, subject, session FROM refused_sessions
    WHERE logged_at <= :over AND blocked_until <= :over LIMIT :limit
);

-- name: purge_enrolments
DELETE FROM enrolments WHERE id IN (SELECT id FROM enrolments WHERE expires_at <= :over LIMIT :limit);

-- name: read_attempts
SELECT failed, closed_until FROM attempts WHERE workspace = ? AND subject = ? AND bucket = ?;

-- name: count_attempt
INSERT INTO attempts (workspace, subject, bucket, failed, closed_until) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET failed = excluded.failed, closed_until = excluded.closed_until;

-- name: clear_attempts
DELETE FROM attempts WHERE workspace = ? AND subject = ? AND bucket = ?;

-- name: read_policy
SELECT purpose, requirement FROM policies WHERE workspace = ?;

-- name: read_policy_version
SELECT version FROM policy_versions WHERE workspace = ?;

-- name: read_policy_with_version
-- One statement, so that version and values are of one moment.
SELECT v.version, p.purpose, p.requirement
FROM policy_versions AS v LEFT JOIN policies AS p ON p.workspace = v.workspace
WHERE v.workspace = ?;

-- name: set_requirement
INSERT INTO policies (workspace, purpose, requirement) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET requirement = excluded.requirement;

-- name: advance_policy_version
INSERT INTO policy_versions (workspace, version) VALUES (?, 1)
ON CONFLICT DO UPDATE SET version = version + 1;
