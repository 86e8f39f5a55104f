-- name: begin
BEGIN;
SELECT stepup.check_writer('{place}', {seq}, {schema}){share};

-- name: begin_pooled
-- One message. No setting outlives the transaction, so that a pooler may hand the session to others.
BEGIN;
{settings};
SELECT stepup.check_writer('{place}', {seq}, {schema}){share};

-- name: share
-- A message that begins a batch goes on with it: until the end of the batch nobody ends the epoch that it reads.
SELECT pg_advisory_xact_lock_shared(1398030679, 0);

-- name: lock_epoch
-- Waits for the batches that have begun. None begins before this transaction has ended.
SELECT pg_advisory_xact_lock(1398030679, 0);

-- name: begin_reading
-- Where a pooler hands each transaction to another session.
BEGIN READ ONLY;
SET LOCAL search_path = pg_catalog;

-- name: version_exists
-- From the tables: to_regclass answers from a cache that is stale after waiting for the lock to migrate.
SELECT EXISTS (
    SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'stepup' AND c.relname = 'schema_version'
);

-- name: schema_exists
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'stepup');

-- name: create_schema
CREATE SCHEMA stepup;

-- name: create_version
-- `oldest` is the oldest schema version whose code still works on this one: nodes of both run side by side.
-- `foundation` is noted of the script that made the schema.
CREATE TABLE stepup.schema_version (
    id integer PRIMARY KEY CHECK (id = 1),
    version integer NOT NULL,
    oldest integer NOT NULL,
    foundation text NOT NULL
);

-- name: insert_version
INSERT INTO stepup.schema_version (id, version, oldest, foundation) VALUES (1, 0, 1, $1);

-- name: read_version
-- By way of JSON, for a table of an earlier version has no such column.
SELECT v.version, v.oldest, to_jsonb(v) ->> 'foundation' FROM stepup.schema_version AS v;

-- name: set_version
-- What the scripts said of the oldest version stays said.
UPDATE stepup.schema_version SET version = $1;

-- name: lock_migration
SELECT pg_advisory_xact_lock(hashtextextended('stepup migration', 0));

-- name: durability
SELECT
    pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
    current_setting('synchronous_commit') = 'off',
    current_setting('fsync') = 'off' OR current_setting('full_page_writes') = 'off',
    current_setting('server_version_num')::integer,
    current_setting('server_encoding'),
    current_setting('synchronous_standby_names') = '' OR current_setting('synchronous_commit') = 'local',
    EXISTS (SELECT FROM pg_stat_replication);

-- name: lock_meta
SELECT epoch, place, stepup.place() AS here, (SELECT last_value FROM stepup.audit_seq_seq) AS seq
FROM stepup.meta FOR UPDATE;

-- name: move
UPDATE stepup.meta SET epoch = epoch + 1, place = $1 RETURNING epoch;

-- name: notify
SELECT pg_notify('stepup_audit', '');
