-- name: newest
SELECT at FROM stepup.audit ORDER BY seq DESC LIMIT 1;

-- name: oldest
SELECT at FROM stepup.audit ORDER BY seq LIMIT 1;

-- name: add_delivery
-- The process that wrote a record has a minute to hand it over before others do.
INSERT INTO stepup.deliveries (seq, topic, at, held_until, had) VALUES ($1, $2, $3, $4, '[]');

-- name: claim_deliveries
-- First what was tried longest ago, so that what no sink ever takes keeps nothing else waiting; whoever takes them holds
-- them until $2.
UPDATE stepup.deliveries SET held_until = $2
FROM (
    SELECT h.seq AS free, h.topic AS kind FROM stepup.deliveries AS h
    WHERE h.held_until <= $1 AND h.topic IN ($4, $5) ORDER BY h.held_until, h.seq LIMIT $3 FOR UPDATE SKIP LOCKED
) AS taken
WHERE seq = taken.free AND topic = taken.kind
RETURNING seq, topic, had;

-- name: note_delivery
UPDATE stepup.deliveries SET had = $3 WHERE seq = $1 AND topic = $2;

-- name: drop_delivery
DELETE FROM stepup.deliveries WHERE seq = $1 AND topic = $2;

-- name: purged_at
SELECT purged_at FROM stepup.meta;

-- name: note_purge
UPDATE stepup.meta SET purged_at = $1;

-- name: probe
-- Changes nothing, and is written all the same.
UPDATE stepup.meta SET purged_at = purged_at;

-- name: late_deliveries
SELECT o.topic, count(*) FROM (SELECT d.topic FROM stepup.deliveries AS d WHERE d.at <= $1 LIMIT $2) AS o
GROUP BY o.topic;

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

-- name: purge_deliveries
DELETE FROM stepup.deliveries WHERE (seq, topic) IN (
    SELECT d.seq, d.topic FROM stepup.deliveries AS d WHERE d.topic = $3 AND d.at <= $2 LIMIT $1
);
