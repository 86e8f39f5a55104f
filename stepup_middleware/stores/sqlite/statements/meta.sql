-- name: read_meta
SELECT database, batch FROM meta;

-- name: create_meta
INSERT INTO meta (id, database, foundation, epoch, batch) VALUES (1, ?1, ?2, 1, 0);

-- name: number_batch
UPDATE meta SET batch = batch + 1 RETURNING batch, oldest;

-- name: pass_mark
UPDATE meta SET epoch = epoch + 1, batch = ?1;

-- name: oldest_schema
SELECT oldest FROM meta;

-- name: foundation
SELECT foundation FROM meta;
