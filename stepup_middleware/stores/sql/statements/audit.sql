-- name: newest
SELECT at FROM stepup.audit ORDER BY seq DESC LIMIT 1;

-- name: oldest
SELECT at FROM stepup.audit ORDER BY seq LIMIT 1;

-- name: add_alert
-- The process that wrote an alert has a minute to hand it over before others do.
INSERT INTO stepup.alerts (seq, at, held_until, had) VALUES ($1, $2, $3, '[]');

-- name: claim_alerts
-- Oldest first; whoever takes them holds them until $2.
UPDATE stepup.alerts SET held_until = $2
FROM (
    SELECT h.seq AS free FROM stepup.alerts AS h WHERE h.held_until <= $1 ORDER BY h.seq LIMIT $3 FOR UPDATE SKIP LOCKED
) AS taken
WHERE seq = taken.free
RETURNING seq, had;

-- name: note_alert
UPDATE stepup.alerts SET had = $2 WHERE seq = $1;

-- name: drop_alert
DELETE FROM stepup.alerts WHERE seq = $1;

-- name: purged_at
SELECT purged_at FROM stepup.meta;

-- name: note_purge
UPDATE stepup.meta SET purged_at = $1;

-- name: enrolments_after
SELECT seq FROM stepup.audit WHERE event = 'FACTOR_ENROLLED' AND seq > $1 ORDER BY seq LIMIT $2;

-- name: purge_prompts
-- Looks at the oldest rows only, so that a purge with nothing to do reads no more than its limit.
DELETE FROM stepup.prompts WHERE number IN (
    SELECT o.number FROM (SELECT p.number, p.expires_at FROM stepup.prompts AS p ORDER BY p.number LIMIT $1) AS o
    WHERE o.expires_at <= $2
);

-- name: purge_tokens
DELETE FROM stepup.tokens WHERE id IN (
    SELECT o.id FROM (SELECT t.id, t.expires_at FROM stepup.tokens AS t ORDER BY t.id LIMIT $1) AS o
    WHERE o.expires_at <= $2
);

-- name: purge_refused_sessions
DELETE FROM stepup.refused_sessions WHERE (workspace, subject, session) IN (
    SELECT r.workspace, r.subject, r.session FROM stepup.refused_sessions AS r
    WHERE r.logged_at <= $2 AND r.blocked_until <= $2 LIMIT $1
);

-- name: purge_enrolments
DELETE FROM stepup.enrolments WHERE id IN (SELECT e.id FROM stepup.enrolments AS e WHERE e.expires_at <= $2 LIMIT $1);

-- name: purge_alerts
DELETE FROM stepup.alerts WHERE seq IN (SELECT a.seq FROM stepup.alerts AS a WHERE a.at <= $2 LIMIT $1);
