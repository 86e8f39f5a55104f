-- The log of many writers: the database counts, and each follower waits for those under way.

-- name: append
-- Whoever takes sequence numbers first holds a shared lock, until the commit is visible, that is named after
-- the last number given by then: stepup.settled() waits for these, and so nobody who follows the log skips a row.
WITH turn AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(1398030677, (s.last_value & 2147483647)::integer)
    FROM stepup.audit_seq_seq AS s
)
INSERT INTO stepup.audit (
    id, entry, mac, chain, link, previous, hash, workspace, subject, event, outcome, purpose, prompt, token, at, body
)
SELECT
    e.id, e.entry, e.mac, e.chain, e.link, e.previous, e.hash, e.workspace, e.subject, e.event, e.outcome, e.purpose,
    e.prompt, e.token, e.at, e.body
FROM turn, unnest(
    $1::text[], $2::text[], $3::bytea[], $4::text[], $5::bigint[], $6::bytea[], $7::bytea[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::text[], $14::bigint[], $15::bigint[], $16::text[]
) WITH ORDINALITY AS e (
    id, entry, mac, chain, link, previous, hash, workspace, subject, event, outcome, purpose, prompt, token, at, body, n
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
