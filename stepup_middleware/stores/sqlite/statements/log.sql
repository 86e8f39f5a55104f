-- The log of one writer at a time: it counts by itself, and keeps the columns by which a time is found.

-- name: append
INSERT INTO audit (
    seq, id, entry, mac, workspace, subject, event, outcome, purpose, prompt, factor, token, person, held,
    at, high, body
) SELECT * FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) WHERE column1 IS NOT NULL;

-- name: log_ends
-- The last serial number, the latest time, and how far a time ever lay before it.
SELECT
    max(
        coalesce((SELECT s.seq FROM sqlite_sequence AS s WHERE s.name = 'audit'), 0),
        coalesce((SELECT max(l.seq) FROM audit AS l), 0)
    ),
    coalesce((SELECT a.high FROM audit AS a ORDER BY a.seq DESC LIMIT 1), 0),
    (SELECT m.back FROM meta AS m);

-- name: last_seq
SELECT seq FROM sqlite_sequence WHERE name = 'audit';

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

-- name: schema_objects
-- Names that begin so are SQLite's own, but for those that only somebody with the file in hand can have given.
SELECT type, name, tbl_name, sql FROM sqlite_schema
WHERE name NOT GLOB 'sqlite_*' OR type NOT IN ('table', 'index');

-- name: purge_records
-- The leaf says how long. The database's own clock has a say too, and a trigger holds everybody to it.
DELETE FROM audit WHERE seq IN (
    SELECT a.seq FROM audit AS a INDEXED BY audit_keep
    JOIN leaves AS l ON l.record_id = a.id AND substr(l.entry, -18, 10) < min(?2, date('now'))
    WHERE substr(a.entry, -18, 10) < min(?2, date('now')) AND a.event <> 'FACTOR_ENROLLED'
      AND NOT (a.event = 'FACTOR_REMOVED' AND EXISTS (
          SELECT 1 FROM audit AS e WHERE e.factor = a.factor AND e.event = 'FACTOR_ENROLLED'
      ))
    ORDER BY substr(a.entry, -18, 10) LIMIT ?1
);

-- name: purge_enrolment_records
DELETE FROM audit WHERE seq IN (
    SELECT a.seq FROM audit AS a
    JOIN leaves AS l ON l.record_id = a.id AND substr(l.entry, -18, 10) < min(?3, date('now'))
    WHERE a.event = 'FACTOR_ENROLLED' AND a.seq > ?1 AND a.seq <= ?2
      AND NOT EXISTS (SELECT 1 FROM factors AS f WHERE f.id = a.factor)
      AND NOT EXISTS (SELECT 1 FROM audit AS v WHERE v.factor = a.factor AND v.event = 'ACCOUNT_STEPUP_VERIFIED')
);

-- name: give_back_space
PRAGMA incremental_vacuum(1);
