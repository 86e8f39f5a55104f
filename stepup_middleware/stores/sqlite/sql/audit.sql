-- name: append
INSERT INTO audit (
    seq, chain, link, previous, hash, workspace, subject, event, outcome, purpose, prompt, at, high, body
) SELECT * FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) WHERE column1 IS NOT NULL;

-- name: newest
SELECT seq, high, at FROM audit ORDER BY seq DESC LIMIT 1;

-- name: oldest
SELECT at FROM audit ORDER BY seq LIMIT 1;

-- name: last_seq
SELECT seq FROM sqlite_sequence WHERE name = 'audit';

-- name: span
-- The records of a time lie from the first of the two on and before the second, where there is one; and the last.
-- `high` grows with seq, and no time lies further before it than `back`.
SELECT
    (SELECT h.seq FROM audit AS h WHERE h.high >= :since ORDER BY h.high, h.seq LIMIT 1),
    (
        SELECT h.seq FROM audit AS h
        WHERE h.high >= :until + (SELECT m.back FROM meta AS m) ORDER BY h.high, h.seq LIMIT 1
    ),
    (SELECT s.seq FROM sqlite_sequence AS s WHERE s.name = 'audit');

-- name: count_events
SELECT a.at / 3600000000 AS hour, a.event, count(*)
FROM audit AS a INDEXED BY audit_workspace
WHERE a.workspace = :workspace AND a.seq >= :first AND a.seq < :end
AND a.at >= :since AND (:until IS NULL OR a.at < :until)
GROUP BY hour, a.event;

-- name: chain_head
SELECT link, hash FROM audit WHERE chain = ? ORDER BY link DESC LIMIT 1;

-- name: read_chain_start
SELECT link, hash FROM chain_starts WHERE chain = ?;

-- name: chain_names
-- Skips from chain to chain along the index.
WITH RECURSIVE names (chain) AS (
    SELECT min(chain) FROM audit
    UNION ALL
    SELECT (SELECT min(a.chain) FROM audit AS a WHERE a.chain > names.chain) FROM names WHERE names.chain IS NOT NULL
)
SELECT chain FROM names WHERE chain IS NOT NULL;

-- name: chain_heads
WITH RECURSIVE names (chain) AS (
    SELECT min(chain) FROM audit
    UNION ALL
    SELECT (SELECT min(a.chain) FROM audit AS a WHERE a.chain > names.chain) FROM names WHERE names.chain IS NOT NULL
)
SELECT h.seq, h.chain, h.link, h.previous, h.hash, h.body
FROM names JOIN audit AS h
ON h.chain = names.chain AND h.link = (SELECT max(l.link) FROM audit AS l WHERE l.chain = names.chain);

-- name: segment
SELECT seq, chain, link, previous, hash, body FROM audit WHERE chain = ? AND link BETWEEN ? AND ? ORDER BY link;

-- name: chain_starts
SELECT chain, link, hash, purged_at FROM chain_starts ORDER BY chain;

-- name: set_chain_start
INSERT INTO chain_starts (chain, link, hash, purged_at) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET link = excluded.link, hash = excluded.hash, purged_at = excluded.purged_at;

-- name: oldest_of_chain
SELECT link, hash, at FROM audit WHERE chain = ? ORDER BY link LIMIT ?;

-- name: purge_chain
DELETE FROM audit WHERE chain = ? AND link <= ?;

-- name: purge_heads
DELETE FROM heads WHERE chain = ? AND link < ?;

-- name: add_head
INSERT INTO heads (chain, link, hash, at, key_id, signature) VALUES (?, ?, ?, ?, ?, ?);

-- name: heads
SELECT chain, link, hash, at, key_id, signature FROM heads WHERE chain = ? AND link >= ? ORDER BY link, rowid LIMIT ?;

-- name: signed_chains
-- Skips from chain to chain along the index.
WITH RECURSIVE names (chain) AS (
    SELECT min(chain) FROM heads
    UNION ALL
    SELECT (SELECT min(h.chain) FROM heads AS h WHERE h.chain > names.chain) FROM names WHERE names.chain IS NOT NULL
)
SELECT chain FROM names WHERE chain IS NOT NULL;

-- name: claim_alerts
-- Oldest first; whoever takes them has them until the lease is over.
UPDATE alerts SET held_until = :until
WHERE seq IN (SELECT a.seq FROM alerts AS a WHERE a.held_until <= :now ORDER BY a.seq LIMIT :limit)
RETURNING seq, had;

-- name: alert_records
SELECT seq, chain, link, previous, hash, body FROM audit
WHERE seq IN (SELECT taken.value FROM json_each(?) AS taken) ORDER BY seq;

-- name: note_alert
UPDATE alerts SET had = ? WHERE seq = ?;

-- name: drop_alert
DELETE FROM alerts WHERE seq = ?;

-- name: purge_alerts
DELETE FROM alerts WHERE seq IN (SELECT seq FROM alerts WHERE at <= :over LIMIT :limit);
