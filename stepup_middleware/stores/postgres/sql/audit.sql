-- name: append
-- Whoever takes sequence numbers first holds a shared lock, until the commit is visible, that is named after
-- the last number given by then: stepup.settled() waits for these, and so nobody who follows the log skips a row.
WITH turn AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(1398030677, (s.last_value & 2147483647)::integer)
    FROM stepup.audit_seq_seq AS s
)
INSERT INTO stepup.audit (
    chain, link, previous, hash, workspace, subject, event, outcome, purpose, prompt, at, body
)
SELECT e.chain, e.link, e.previous, e.hash, e.workspace, e.subject, e.event, e.outcome, e.purpose, e.prompt, e.at, e.body
FROM turn, unnest(
    $1::text[], $2::bigint[], $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::bigint[], $12::text[]
) WITH ORDINALITY AS e (
    chain, link, previous, hash, workspace, subject, event, outcome, purpose, prompt, at, body, n
)
ORDER BY e.n
RETURNING seq;

-- name: heads_of
SELECT c.chain, coalesce(a.link, s.link, 0), coalesce(a.hash, s.hash)
FROM unnest($1::text[]) AS c (chain)
LEFT JOIN LATERAL (
    SELECT l.link, l.hash FROM stepup.audit AS l WHERE l.chain = c.chain ORDER BY l.link DESC LIMIT 1
) AS a ON true
LEFT JOIN stepup.chain_starts AS s ON s.chain = c.chain;

-- name: settled
SELECT stepup.settled();

-- name: last_seq
SELECT coalesce((SELECT max(a.seq) FROM stepup.audit AS a WHERE a.seq <= $1), 0);

-- name: count_events
SELECT a.at / 3600000000 AS hour, a.event, count(*)
FROM stepup.audit AS a
WHERE a.workspace = $1 AND a.at >= $2 AND a.at < coalesce($3, 9223372036854775807) AND a.seq <= $4
GROUP BY hour, a.event;

-- name: newest
SELECT at FROM stepup.audit ORDER BY seq DESC LIMIT 1;

-- name: oldest
SELECT at FROM stepup.audit ORDER BY seq LIMIT 1;

-- name: chain_names
-- Skips from chain to chain along the index.
WITH RECURSIVE names (chain) AS (
    (SELECT a.chain FROM stepup.audit AS a ORDER BY a.chain LIMIT 1)
    UNION ALL
    SELECT (SELECT a.chain FROM stepup.audit AS a WHERE a.chain > names.chain ORDER BY a.chain LIMIT 1)
    FROM names WHERE names.chain IS NOT NULL
)
SELECT chain FROM names WHERE chain IS NOT NULL;

-- name: chain_heads
WITH RECURSIVE names (chain) AS (
    (SELECT a.chain FROM stepup.audit AS a ORDER BY a.chain LIMIT 1)
    UNION ALL
    SELECT (SELECT a.chain FROM stepup.audit AS a WHERE a.chain > names.chain ORDER BY a.chain LIMIT 1)
    FROM names WHERE names.chain IS NOT NULL
)
SELECT h.seq, h.chain, h.link, h.previous, h.hash, h.body
FROM names CROSS JOIN LATERAL (
    SELECT * FROM stepup.audit AS l WHERE l.chain = names.chain ORDER BY l.link DESC LIMIT 1
) AS h
WHERE names.chain IS NOT NULL;

-- name: segment
SELECT seq, chain, link, previous, hash, body FROM stepup.audit
WHERE chain = $1 AND link BETWEEN $2 AND $3 ORDER BY link;

-- name: chain_starts
SELECT chain, link, hash, purged_at FROM stepup.chain_starts ORDER BY chain;

-- name: purge_turn
SELECT pg_advisory_xact_lock(hashtextextended('stepup purge', 0));

-- name: set_chain_start
INSERT INTO stepup.chain_starts (chain, link, hash, purged_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (chain) DO UPDATE SET link = excluded.link, hash = excluded.hash, purged_at = excluded.purged_at;

-- name: oldest_of_chain
SELECT link, hash, at FROM stepup.audit WHERE chain = $1 ORDER BY link LIMIT $2;

-- name: purge_chain
DELETE FROM stepup.audit WHERE chain = $1 AND link <= $2;

-- name: purge_prompts
DELETE FROM stepup.prompts WHERE number = ANY (ARRAY(
    SELECT o.number FROM (SELECT p.number, p.expires_at FROM stepup.prompts AS p ORDER BY p.number LIMIT $1) AS o
    WHERE o.expires_at <= $2
));

-- name: purge_tokens
-- Looks at the oldest rows only, so that a purge with nothing to do reads no more than its limit.
DELETE FROM stepup.tokens WHERE id = ANY (ARRAY(
    SELECT o.id FROM (SELECT t.id, t.expires_at FROM stepup.tokens AS t ORDER BY t.id LIMIT $1) AS o
    WHERE o.expires_at <= $2
));

-- name: purge_refused_sessions
DELETE FROM stepup.refused_sessions WHERE ctid = ANY (ARRAY(
    SELECT r.ctid FROM stepup.refused_sessions AS r WHERE r.logged_at <= $2 AND r.blocked_until <= $2 LIMIT $1
));

-- name: purge_enrolments
DELETE FROM stepup.enrolments WHERE id = ANY (ARRAY(
    SELECT e.id FROM stepup.enrolments AS e WHERE e.expires_at <= $2 LIMIT $1
));

-- name: purge_alerts
DELETE FROM stepup.alerts WHERE seq = ANY (ARRAY(
    SELECT a.seq FROM stepup.alerts AS a WHERE a.at <= $2 LIMIT $1
));

-- name: add_alerts
-- Whoever writes an alert has a minute to hand it over before others do.
INSERT INTO stepup.alerts (seq, at, held_until, had)
SELECT s.seq, s.at, s.at + 60000000, '{}' FROM unnest($1::bigint[], $2::bigint[]) AS s (seq, at);

-- name: claim_alerts
-- Oldest first; whoever takes them has them until the lease is over.
UPDATE stepup.alerts AS a SET held_until = $2
FROM (
    SELECT h.seq FROM stepup.alerts AS h WHERE h.held_until <= $1 ORDER BY h.seq LIMIT $3 FOR UPDATE SKIP LOCKED
) AS taken
WHERE a.seq = taken.seq
RETURNING a.seq, a.had;

-- name: alert_records
SELECT seq, chain, link, previous, hash, body FROM stepup.audit WHERE seq = ANY ($1::bigint[]) ORDER BY seq;

-- name: note_alert
UPDATE stepup.alerts SET had = $1 WHERE seq = $2;

-- name: drop_alerts
DELETE FROM stepup.alerts WHERE seq = ANY ($1::bigint[]);

-- name: purge_heads
DELETE FROM stepup.heads WHERE chain = $1 AND link < $2;

-- name: add_head
INSERT INTO stepup.heads (chain, link, hash, at, key_id, signature) VALUES ($1, $2, $3, $4, $5, $6);

-- name: heads
SELECT chain, link, hash, at, key_id, signature FROM stepup.heads
WHERE chain = $1 AND link >= $2 ORDER BY link, number LIMIT $3;

-- name: signed_chains
WITH RECURSIVE names (chain) AS (
    (SELECT h.chain FROM stepup.heads AS h ORDER BY h.chain LIMIT 1)
    UNION ALL
    SELECT (SELECT h.chain FROM stepup.heads AS h WHERE h.chain > names.chain ORDER BY h.chain LIMIT 1)
    FROM names WHERE names.chain IS NOT NULL
)
SELECT chain FROM names WHERE chain IS NOT NULL;
