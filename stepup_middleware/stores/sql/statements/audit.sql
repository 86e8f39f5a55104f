-- name: newest
SELECT at FROM stepup.audit ORDER BY seq DESC LIMIT 1;

-- name: oldest
SELECT at FROM stepup.audit ORDER BY seq LIMIT 1;

-- name: chain_names
-- Skips from chain to chain along the index.
WITH RECURSIVE names (chain) AS (
    SELECT min(f.chain) FROM stepup.audit AS f
    UNION ALL
    SELECT (SELECT min(a.chain) FROM stepup.audit AS a WHERE a.chain > names.chain)
    FROM names WHERE names.chain IS NOT NULL
)
SELECT chain FROM names WHERE chain IS NOT NULL;

-- name: chain_heads
WITH RECURSIVE names (chain) AS (
    SELECT min(f.chain) FROM stepup.audit AS f
    UNION ALL
    SELECT (SELECT min(a.chain) FROM stepup.audit AS a WHERE a.chain > names.chain)
    FROM names WHERE names.chain IS NOT NULL
)
SELECT h.seq, h.chain, h.link, h.previous, h.hash, h.body
FROM names JOIN stepup.audit AS h
ON h.chain = names.chain AND h.link = (SELECT max(l.link) FROM stepup.audit AS l WHERE l.chain = names.chain);

-- name: segment
SELECT seq, chain, link, previous, hash, body FROM stepup.audit
WHERE chain = $1 AND link BETWEEN $2 AND $3 ORDER BY link;

-- name: chain_starts
SELECT chain, link, hash, purged_at FROM stepup.chain_starts ORDER BY chain;

-- name: set_chain_start
INSERT INTO stepup.chain_starts (chain, link, hash, purged_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (chain) DO UPDATE SET link = excluded.link, hash = excluded.hash, purged_at = excluded.purged_at;

-- name: oldest_of_chain
SELECT link, hash, at FROM stepup.audit WHERE chain = $1 ORDER BY link LIMIT $2;

-- name: purge_chain
DELETE FROM stepup.audit WHERE chain = $1 AND link <= $2;

-- name: purge_heads
DELETE FROM stepup.heads WHERE chain = $1 AND link < $2;

-- name: add_head
INSERT INTO stepup.heads (chain, link, hash, at, key_id, signature) VALUES ($1, $2, $3, $4, $5, $6);

-- name: heads
SELECT chain, link, hash, at, key_id, signature FROM stepup.heads
WHERE chain = $1 AND link >= $2 ORDER BY link, number LIMIT $3;

-- name: signed_chains
WITH RECURSIVE names (chain) AS (
    SELECT min(f.chain) FROM stepup.heads AS f
    UNION ALL
    SELECT (SELECT min(h.chain) FROM stepup.heads AS h WHERE h.chain > names.chain)
    FROM names WHERE names.chain IS NOT NULL
)
SELECT chain FROM names WHERE chain IS NOT NULL;

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
