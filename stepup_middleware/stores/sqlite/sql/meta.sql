-- name: read_meta
SELECT database, epoch, batch, back FROM meta;

-- name: create_meta
INSERT INTO meta (id, database, epoch, batch) VALUES (1, ?, 1, 0);

-- name: number_batch
UPDATE meta SET batch = batch + 1 RETURNING batch, epoch;

-- name: bump_epoch
UPDATE meta SET epoch = epoch + 1 RETURNING epoch;

-- name: pass_mark
UPDATE meta SET epoch = epoch + 1, batch = ? RETURNING epoch;

-- name: set_back
UPDATE meta SET back = ?;

-- name: read_hot
SELECT epoch, hot FROM meta;

-- name: begin_hot
UPDATE meta SET epoch = epoch + 1, hot = ? WHERE epoch = ? RETURNING epoch;

-- name: purged_at
SELECT purged_at FROM meta;

-- name: note_purge
UPDATE meta SET purged_at = ?;

-- name: oldest_schema
SELECT oldest FROM meta;
