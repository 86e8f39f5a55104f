-- The log of one writer at a time: it counts by itself, and keeps the columns by which a time is found.

-- name: append
INSERT INTO audit (
    seq, id, entry, mac, chain, link, previous, hash, workspace, subject, event, outcome, purpose, prompt, token, at, high,
    body
) SELECT * FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) WHERE column1 IS NOT NULL;

-- name: highest
SELECT high FROM audit ORDER BY seq DESC LIMIT 1;

-- name: last_seq
SELECT seq FROM sqlite_sequence WHERE name = 'audit';

-- name: chain_head
SELECT link, hash FROM audit WHERE chain = ?1 ORDER BY link DESC LIMIT 1;

-- name: read_chain_start
SELECT link, hash FROM chain_starts WHERE chain = ?1;

-- name: set_back
UPDATE meta SET back = ?1;

-- name: span
-- The records of a time lie from the first of the two on and before the second, where there is one; and the last.
-- `high` grows with seq, and no time lies further before it than `back`.
SELECT
    (SELECT h.seq FROM audit AS h WHERE h.high >= ?1 ORDER BY h.high, h.seq LIMIT 1),
    (
        SELECT h.seq FROM audit AS h
        WHERE h.high >= ?2 + (SELECT m.back FROM meta AS m) ORDER BY h.high, h.seq LIMIT 1
    ),
    (SELECT s.seq FROM sqlite_sequence AS s WHERE s.name = 'audit');

-- name: count_events
SELECT a.at / 3600000000 AS hour, a.event, a.outcome, count(*)
FROM audit AS a INDEXED BY audit_workspace
WHERE a.workspace = ?1 AND a.seq >= ?2 AND a.seq < ?3
AND a.at >= ?4 AND (?5 IS NULL OR a.at < ?5)
GROUP BY hour, a.event, a.outcome;

-- name: tiles
SELECT t.level, t.number, t.hashes FROM json_each(?2) AS w CROSS JOIN tiles AS t
WHERE t.log = ?1 AND t.level = json_extract(w.value, '$[0]') AND t.number = json_extract(w.value, '$[1]');

-- name: leaves_of
SELECT l.log, l.idx, l.record_id, l.entry FROM json_each(?1) AS w CROSS JOIN leaves AS l WHERE l.record_id = w.value;
