-- The log of many writers: the database counts, and each follower waits for those under way.

-- name: append
-- Whoever takes sequence numbers first holds a shared lock, until the commit is visible, that is named after
-- the last number given by then: stepup.settled() waits for these, and so nobody who follows the log skips a row.
WITH turn AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(1398030677, (s.last_value & 2147483647)::integer)
    FROM stepup.audit_seq_seq AS s
)
INSERT INTO stepup.audit (
    id, entry, mac, workspace, subject, event, outcome, purpose, prompt, factor, token, person, held, at,
    body
)
SELECT
    e.id, e.entry, e.mac, e.workspace, e.subject, e.event, e.outcome, e.purpose, e.prompt, e.factor, e.token,
    e.person, e.held, e.at, e.body
FROM turn, unnest(
    $1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::bigint[], $12::text[], $13::bigint[], $14::bigint[], $15::text[]
) WITH ORDINALITY AS e (
    id, entry, mac, workspace, subject, event, outcome, purpose, prompt, factor, token, person, held, at, body, n
)
ORDER BY e.n
RETURNING seq;

-- name: settled
SELECT stepup.settled();

-- name: last_seq
SELECT coalesce((SELECT max(a.seq) FROM stepup.audit AS a WHERE a.seq <= $1), 0);

-- name: count_events
SELECT a.at / 3600000000 AS hour, a.event, a.outcome, count(*)
FROM stepup.audit AS a
WHERE a.workspace = $1 AND a.at >= $2 AND a.at < coalesce($3, 9223372036854775807) AND a.seq <= $4
GROUP BY hour, a.event, a.outcome;

-- name: tiles
SELECT t.level, t.number, t.hashes
FROM json_array_elements($2::text::json) AS w (value) JOIN stepup.tiles AS t
ON t.log = $1 AND t.level = (w.value ->> 0)::integer AND t.number = (w.value ->> 1)::bigint;

-- name: leaves_of
SELECT l.log, l.idx, l.record_id, l.entry
FROM json_array_elements_text($1::text::json) AS w (value) JOIN stepup.leaves AS l ON l.record_id = w.value;

-- name: schema_objects
SELECT 'table ' || c.relname, CASE
    WHEN c.relkind <> 'r' THEN 'no table'
    WHEN c.relrowsecurity THEN 'hides rows'
    WHEN EXISTS (SELECT FROM pg_rewrite AS w WHERE w.ev_class = c.oid) THEN 'has a rule'
    WHEN EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhparent = c.oid OR h.inhrelid = c.oid) THEN 'has children'
    WHEN EXISTS (
        SELECT FROM pg_attribute AS a JOIN pg_collation AS k ON k.oid = a.attcollation
        WHERE a.attrelid = c.oid AND k.collname NOT IN ('default', 'C')
    ) THEN 'compares otherwise'
    ELSE '' END
FROM pg_class AS c
WHERE c.relnamespace = 'stepup'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
UNION ALL
SELECT 'index ' || i.relname, 'on ' || t.relname
    || CASE WHEN x.indisvalid AND x.indisready AND x.indislive THEN '' ELSE ', not valid' END
    || CASE WHEN x.indisunique THEN ', unique: ' || pg_get_indexdef(x.indexrelid, 1, true)
        || coalesce(' where ' || pg_get_expr(x.indpred, x.indrelid), '') ELSE '' END
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid
WHERE t.relnamespace = 'stepup'::regnamespace
UNION ALL
SELECT 'trigger ' || g.tgname || ' on ' || t.relname, n.nspname || '.' || p.proname
    || CASE WHEN g.tgenabled IN ('O', 'A') THEN '' ELSE ', disabled' END
FROM pg_trigger AS g JOIN pg_class AS t ON t.oid = g.tgrelid JOIN pg_proc AS p ON p.oid = g.tgfoid
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE t.relnamespace = 'stepup'::regnamespace AND NOT g.tgisinternal
UNION ALL
SELECT 'function ' || p.proname, p.prosrc FROM pg_proc AS p WHERE p.pronamespace = 'stepup'::regnamespace;

-- name: purge_records
-- The leaf says how long. The database's own clock has a say too, and a trigger holds everybody to it.
DELETE FROM stepup.audit WHERE seq IN (
    SELECT a.seq FROM stepup.audit AS a JOIN stepup.leaves AS l ON l.record_id = a.id
    WHERE a.entry::json ->> 'keep_until' < least($2, stepup.today())
      AND l.entry::json ->> 'keep_until' < least($2, stepup.today())
      AND a.event <> 'FACTOR_ENROLLED'
      AND NOT (a.event = 'FACTOR_REMOVED' AND EXISTS (
          SELECT 1 FROM stepup.audit AS e WHERE e.factor = a.factor AND e.event = 'FACTOR_ENROLLED'
      ))
    ORDER BY a.entry::json ->> 'keep_until' LIMIT $1
);

-- name: purge_enrolment_records
DELETE FROM stepup.audit WHERE seq IN (
    SELECT a.seq FROM stepup.audit AS a JOIN stepup.leaves AS l ON l.record_id = a.id
    WHERE a.event = 'FACTOR_ENROLLED' AND a.seq > $1 AND a.seq <= $2
      AND l.entry::json ->> 'keep_until' < least($3, stepup.today())
      AND NOT EXISTS (SELECT FROM stepup.factors AS f WHERE f.id = a.factor)
      AND NOT EXISTS (
          SELECT FROM stepup.audit AS v WHERE v.factor = a.factor AND v.event = 'ACCOUNT_STEPUP_VERIFIED'
      )
);
