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

-- name: create_shown
-- What a batch presents, staged for the one statement that redeems.
CREATE TEMP TABLE shown (
    id INTEGER NOT NULL,
    nonce BLOB NOT NULL,
    attempt BLOB NOT NULL,
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    session TEXT NOT NULL,
    ip TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    purpose TEXT NOT NULL,
    ttl INTEGER NOT NULL,
    strength INTEGER NOT NULL,
    request_digest BLOB NOT NULL,
    details_digest BLOB NOT NULL,
    now INTEGER NOT NULL
);
