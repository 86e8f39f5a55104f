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
-- What decides how rows are kept and read: of which table, how it is made, and whether it harms nobody where the
-- library did not make it.
SELECT c.relname, 'table ' || c.relname, concat_ws(
    ' ', c.relkind::text, c.relpersistence::text,
    CASE WHEN c.relrowsecurity THEN 'hides rows' END,
    CASE WHEN EXISTS (SELECT FROM pg_rewrite AS w WHERE w.ev_class = c.oid) THEN 'has a rule' END,
    CASE WHEN EXISTS (SELECT FROM pg_inherits AS h WHERE c.oid IN (h.inhparent, h.inhrelid)) THEN 'has children' END,
    CASE WHEN EXISTS (SELECT FROM pg_index AS x WHERE x.indrelid = c.oid) > c.relhasindex THEN 'passes indexes over' END,
    CASE WHEN EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = c.oid) > c.relhastriggers
        THEN 'passes triggers over' END,
    (
        SELECT string_agg(concat_ws(
            ' ', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'always' END,
            nullif(a.attidentity::text, ''), nullif(a.attgenerated::text, ''), nullif(k.collname, 'default'),
            pg_get_expr(d.adbin, d.adrelid)
        ), '; ' ORDER BY a.attname)
        FROM pg_attribute AS a LEFT JOIN pg_collation AS k ON k.oid = a.attcollation
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    )
), true
FROM pg_class AS c
WHERE c.relnamespace = 'stepup'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
UNION ALL
SELECT t.relname, 'index ' || i.relname, pg_get_indexdef(x.indexrelid)
    || CASE WHEN x.indisvalid AND x.indisready AND x.indislive AND x.indimmediate THEN '' ELSE ', not valid' END,
    NOT x.indisunique AND x.indpred IS NULL AND x.indexprs IS NULL
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid
WHERE t.relnamespace = 'stepup'::regnamespace
UNION ALL
SELECT t.relname, 'constraint ' || o.conname || ' on ' || t.relname, pg_get_constraintdef(o.oid), false
FROM pg_constraint AS o JOIN pg_class AS t ON t.oid = o.conrelid
WHERE t.relnamespace = 'stepup'::regnamespace AND o.contype <> 'n'
UNION ALL
SELECT t.relname, 'trigger ' || g.tgname || ' on ' || t.relname, pg_get_triggerdef(g.oid)
    || CASE WHEN g.tgenabled IN ('O', 'A') THEN '' ELSE ', disabled' END, false
FROM pg_trigger AS g JOIN pg_class AS t ON t.oid = g.tgrelid
WHERE t.relnamespace = 'stepup'::regnamespace AND NOT g.tgisinternal
UNION ALL
SELECT NULL, 'function ' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', concat_ws(
    ' ', l.lanname, p.provolatile::text, format_type(p.prorettype, NULL), CASE WHEN p.prosecdef THEN 'as its owner' END,
    array_to_string(p.proconfig, ', '), p.prosrc
), false
FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang WHERE p.pronamespace = 'stepup'::regnamespace
UNION ALL
SELECT NULL, 'sequence ' || c.relname, concat_ws(' ', q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle), true
FROM pg_sequence AS q JOIN pg_class AS c ON c.oid = q.seqrelid WHERE c.relnamespace = 'stepup'::regnamespace
UNION ALL
SELECT NULL, 'setting session_replication_role', set.value, false FROM (
    SELECT unnest(r.setconfig) FROM pg_db_role_setting AS r
    WHERE r.setdatabase IN (0, (SELECT b.oid FROM pg_database AS b WHERE b.datname = current_database()))
    UNION SELECT 'session_replication_role=' || current_setting('session_replication_role')
) AS set (value)
WHERE set.value LIKE 'session_replication_role=%' AND set.value NOT LIKE '%=origin';

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
