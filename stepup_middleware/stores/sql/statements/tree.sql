-- The tree over the records: see log/integrator.py.

-- name: trees
SELECT log, origin, size, root, mac FROM stepup.trees ORDER BY log;

-- name: put_tree
INSERT INTO stepup.trees (log, origin, size, root, mac) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (log) DO UPDATE SET size = excluded.size, root = excluded.root, mac = excluded.mac;

-- name: pending
-- From where all before it have a leaf or were refused one.
SELECT a.seq, a.id, a.body, a.entry, a.mac FROM stepup.audit AS a
WHERE a.seq > $1 AND a.refused IS NULL AND NOT EXISTS (SELECT 1 FROM stepup.leaves AS l WHERE l.record_id = a.id)
ORDER BY a.seq LIMIT $2;

-- name: waiting
SELECT a.at FROM stepup.audit AS a
WHERE a.seq > $1 AND a.refused IS NULL AND NOT EXISTS (SELECT 1 FROM stepup.leaves AS l WHERE l.record_id = a.id)
ORDER BY a.seq LIMIT $2;

-- name: seqs_without_leaf
SELECT a.seq, a.refused FROM stepup.audit AS a
WHERE a.seq > $1 AND a.seq <= $2 AND NOT EXISTS (SELECT 1 FROM stepup.leaves AS l WHERE l.record_id = a.id)
ORDER BY a.seq;

-- name: refuse_record
UPDATE stepup.audit SET refused = $2 WHERE seq = $1 AND refused IS NULL;

-- name: next_log
-- The lowest number of a log above this one, whatever there is of it.
SELECT min(o.log) FROM (
    SELECT min(t.log) AS log FROM stepup.trees AS t WHERE t.log > $1
    UNION ALL SELECT min(l.log) FROM stepup.leaves AS l WHERE l.log > $1
    UNION ALL SELECT min(i.log) FROM stepup.tiles AS i WHERE i.log > $1
    UNION ALL SELECT min(c.log) FROM stepup.checkpoints AS c WHERE c.log > $1
) AS o;

-- name: tile_ids
SELECT level, number FROM stepup.tiles
WHERE log = $1 AND (level, number) > ($2, $3) ORDER BY level, number LIMIT $4;

-- name: leaf_ahead
-- A leaf of no tree, or at an index that its tree has not reached. Each part is a look into the index, however long the log.
SELECT f.log, f.idx FROM (
    SELECT max(l.log) AS log, max(l.idx) AS idx FROM stepup.leaves AS l
    WHERE l.log > (SELECT coalesce(max(t.log), 0) FROM stepup.trees AS t)
    UNION ALL SELECT min(l.log), min(l.idx) FROM stepup.leaves AS l WHERE l.log < 1
    UNION ALL SELECT t.log, (SELECT max(l.idx) FROM stepup.leaves AS l WHERE l.log = t.log AND l.idx >= t.size)
    FROM stepup.trees AS t
    UNION ALL SELECT t.log, (SELECT min(l.idx) FROM stepup.leaves AS l WHERE l.log = t.log AND l.idx < 0)
    FROM stepup.trees AS t
) AS f WHERE f.idx IS NOT NULL LIMIT 1;

-- name: leaves
SELECT log, idx, record_id, entry FROM stepup.leaves WHERE log = $1 AND idx >= $2 ORDER BY idx LIMIT $3;

-- name: stored_records
SELECT
    a.seq, a.id, a.body, a.entry, a.mac, a.refused, l.log, l.idx, l.entry, a.workspace, a.subject, a.event, a.outcome,
    a.purpose, a.prompt, a.factor, a.token, a.person, a.held, a.at
FROM stepup.audit AS a LEFT JOIN stepup.leaves AS l ON l.record_id = a.id
WHERE a.seq > $1 ORDER BY a.seq LIMIT $2;

-- name: without_leaf
SELECT
    a.seq, a.id, a.body, a.entry, a.mac, a.refused, NULL, NULL, NULL, a.workspace, a.subject, a.event, a.outcome,
    a.purpose, a.prompt, a.factor, a.token, a.person, a.held, a.at
FROM stepup.audit AS a
WHERE a.seq > $1 AND a.seq <= $2 AND NOT EXISTS (SELECT 1 FROM stepup.leaves AS l WHERE l.record_id = a.id)
ORDER BY a.seq;

-- name: add_checkpoint
INSERT INTO stepup.checkpoints (log, size, note) VALUES ($1, $2, $3) ON CONFLICT (log, size) DO NOTHING;

-- name: checkpoint_of_size
SELECT log, size, note FROM stepup.checkpoints WHERE log = $1 AND size = $2;

-- name: sign_checkpoint_also
UPDATE stepup.checkpoints SET note = $4 WHERE log = $1 AND size = $2 AND note = $3;

-- name: checkpoints
SELECT log, size, note FROM stepup.checkpoints WHERE log = $1 AND size > $2 ORDER BY size LIMIT $3;

-- name: last_checkpoint
SELECT log, size, note FROM stepup.checkpoints WHERE log = $1 ORDER BY size DESC LIMIT 1;
