-- Moments are whole microseconds since 1970 in UTC. Names of columns are those of the contract's values.

CREATE TABLE stepup.meta (
    id integer PRIMARY KEY CHECK (id = 1),
    epoch bigint NOT NULL,          -- prompts and tokens of an earlier epoch are worthless
    place text NOT NULL,            -- where the database was when the epoch began: see stepup.place()
    hot text NOT NULL DEFAULT '',   -- the one server of hot state that may serve the epoch
    purged_at bigint NOT NULL DEFAULT 0, -- when a purge last believed the clock
    approvals bigint NOT NULL DEFAULT 0 -- number of the last change of an approval
);

CREATE TABLE stepup.prompts (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    epoch bigint NOT NULL,
    workspace text NOT NULL,
    subject text NOT NULL,
    session text NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'proved', 'cancelled')),
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    body text NOT NULL,             -- everything else of the prompt, as JSON
    token bigint,                   -- the token that its proof brought
    challenge_nonce bytea,
    challenge_factors text,         -- a JSON list of factor ids
    challenge_expires_at bigint,
    mac bytea NOT NULL               -- over what was asked; what became of it, the log tells
);
CREATE INDEX prompts_by_session ON stepup.prompts (workspace, subject, session);

CREATE TABLE stepup.refused_sessions (
    workspace text NOT NULL,
    subject text NOT NULL,
    session text NOT NULL,
    logged_at bigint NOT NULL,
    unlogged bigint NOT NULL,       -- refusals since then that the log does not tell
    blocked bigint NOT NULL DEFAULT 0, -- requests refused for want of a factor: they count like prompts …
    blocked_until bigint NOT NULL DEFAULT 0, -- … until then
    PRIMARY KEY (workspace, subject, session)
);

CREATE TABLE stepup.tokens (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of minting: redemption then walks few pages
    nonce bytea NOT NULL,
    epoch bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('uncollected', 'issued', 'redeemed', 'revoked')),
    prompt text NOT NULL,
    workspace text NOT NULL,
    subject text NOT NULL,
    session text NOT NULL,
    ip text NOT NULL,
    purpose text NOT NULL,
    requirement text NOT NULL,
    policy_version bigint NOT NULL,
    request_digest bytea NOT NULL,
    details_digest bytea NOT NULL,
    factor text NOT NULL,
    factor_kind text NOT NULL,
    issued_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    mac bytea NOT NULL,              -- over all until here but the state: that, the log tells
    attempt bytea,
    redeemed_at bigint,
    redeemed_ip text NOT NULL DEFAULT '',
    redeemed_user_agent text NOT NULL DEFAULT '',
    replays bigint NOT NULL DEFAULT 0,
    presenters bytea NOT NULL DEFAULT '', -- digests of those whose replays were told, 16 bytes each
    revoked text NOT NULL DEFAULT '' -- why
) WITH (fillfactor = 60);           -- each row is rewritten once, in its own page

CREATE FUNCTION stepup.refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE TRIGGER tokens_stay_redeemed BEFORE UPDATE ON stepup.tokens FOR EACH ROW
WHEN (OLD.state NOT IN ('uncollected', 'issued') AND NEW.state <> OLD.state)
EXECUTE FUNCTION stepup.refuse('a redeemed or revoked token never changes its state');

CREATE TABLE stepup.people (
    workspace text NOT NULL,
    subject text NOT NULL,
    user_handle bytea,
    last_step bigint NOT NULL DEFAULT 0,
    mac bytea,                       -- over the user handle
    PRIMARY KEY (workspace, subject)
);

CREATE TABLE stepup.factors (
    id text PRIMARY KEY,
    workspace text NOT NULL,
    subject text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('passkey', 'hardware_key', 'totp')),
    name text NOT NULL,
    created_at bigint NOT NULL,
    last_used_at bigint,
    credential_id bytea UNIQUE,
    public_key bytea,
    algorithm bigint,
    sign_count bigint,
    backup_eligible boolean,
    backed_up boolean,
    transports text,                -- a JSON list
    aaguid text,
    user_handle bytea,
    encrypted_secret bytea,
    last_step bigint NOT NULL DEFAULT 0, -- of 30 seconds each: the last one that was accepted
    mac bytea NOT NULL              -- over all that decides: a row without it does not count (stores/sealing.py)
);
CREATE INDEX factors_by_person ON stepup.factors (workspace, subject);

CREATE TABLE stepup.enrolments (
    workspace text NOT NULL,
    subject text NOT NULL,
    session text NOT NULL,
    kind text NOT NULL,
    id text NOT NULL UNIQUE,
    basis text NOT NULL,            -- what it began on
    ip text NOT NULL,
    begun_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    challenge bytea NOT NULL,
    encrypted_secret bytea NOT NULL,
    mac bytea NOT NULL,
    PRIMARY KEY (workspace, subject, session, kind)
);

-- An enrolment pass a person: what an admin hands out for a first factor. Rows of this and the tables to known_people
-- count only with their MAC (stores/recovery_rows.py).
CREATE TABLE stepup.enrolment_passes (
    workspace text NOT NULL,
    subject text NOT NULL,
    id text NOT NULL,
    digest bytea NOT NULL,           -- SHA-256 of the secret
    issued_at bigint NOT NULL,
    issued_by text NOT NULL,
    expires_at bigint NOT NULL,
    tries bigint NOT NULL,         -- wrong ones
    used_at bigint,
    mac bytea NOT NULL,
    PRIMARY KEY (workspace, subject)
);
CREATE INDEX enrolment_passes_over ON stepup.enrolment_passes (expires_at);

-- The right to enrol one factor, that a pass or a recovery code opened.
CREATE TABLE stepup.enrolment_rights (
    workspace text NOT NULL,
    subject text NOT NULL,
    session text NOT NULL,
    ip text NOT NULL,
    basis text NOT NULL,
    expires_at bigint NOT NULL,
    mac bytea NOT NULL,
    PRIMARY KEY (workspace, subject)
);
CREATE INDEX enrolment_rights_over ON stepup.enrolment_rights (expires_at);

CREATE TABLE stepup.recovery_codes (
    workspace text NOT NULL,
    subject text NOT NULL,
    id text NOT NULL,               -- of the set
    made_at bigint NOT NULL,
    salt bytea NOT NULL,
    hashes bytea NOT NULL,           -- scrypt, 32 bytes each
    used text NOT NULL,             -- a JSON list of the numbers of used ones
    mac bytea NOT NULL,
    PRIMARY KEY (workspace, subject)
);

-- Resets that wait for a second admin.
CREATE TABLE stepup.reset_requests (
    workspace text NOT NULL,
    subject text NOT NULL,
    id text NOT NULL,
    subject_name text NOT NULL,
    reason text NOT NULL,
    requested_by text NOT NULL,
    requested_by_name text NOT NULL,
    requested_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    with_pass bigint NOT NULL,     -- 1: it hands out an enrolment pass
    mac bytea NOT NULL,
    PRIMARY KEY (workspace, subject)
);
CREATE INDEX reset_requests_over ON stepup.reset_requests (expires_at);

-- What a program asks, and its person decides in a browser of theirs. A row counts only with its MAC
-- (stores/approval_rows.py).
CREATE TABLE stepup.approvals (
    prompt text PRIMARY KEY,
    workspace text NOT NULL,
    subject text NOT NULL,
    session text NOT NULL,            -- of the program
    purpose text NOT NULL,
    code bytea NOT NULL,             -- keyed digest of the code in the link
    digits text NOT NULL,             -- two, which the program shows and the person types
    asked_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    body text NOT NULL,               -- the prompt, as JSON
    state text NOT NULL CHECK (state IN ('waiting', 'approved', 'denied', 'cancelled')),
    tries bigint NOT NULL,            -- of the digits, wrong ones
    matched text NOT NULL,            -- the session that typed them right
    decided_at bigint,
    decider text NOT NULL,            -- session, address and browser of who decided, as JSON
    reason text NOT NULL,             -- why it was denied or cancelled
    token bigint,                     -- what it brought
    nonce bytea,
    mac bytea NOT NULL,
    epoch bigint NOT NULL,
    changed bigint NOT NULL           -- number of its last change
);
CREATE INDEX approvals_of_person ON stepup.approvals (workspace, subject, asked_at);
CREATE INDEX approvals_by_code ON stepup.approvals (code);
CREATE INDEX approvals_changed ON stepup.approvals (changed);
CREATE INDEX approvals_over ON stepup.approvals (expires_at);

-- Whom the library has met, by the names that the app gave.
CREATE TABLE stepup.known_people (
    workspace text NOT NULL,
    subject text COLLATE "C" NOT NULL,
    name text NOT NULL,
    login text NOT NULL,
    sort text COLLATE "C" NOT NULL,
    search text NOT NULL,           -- what a search looks through
    mac bytea NOT NULL,
    PRIMARY KEY (workspace, subject)
);
CREATE INDEX known_people_by_name ON stepup.known_people (workspace, sort, subject);

CREATE TABLE stepup.attempts (
    workspace text NOT NULL,
    subject text NOT NULL,
    bucket text NOT NULL,
    failed bigint NOT NULL,
    closed_until bigint NOT NULL,
    PRIMARY KEY (workspace, subject, bucket)
);

CREATE TABLE stepup.policies (
    workspace text PRIMARY KEY,
    version bigint NOT NULL,
    requirements text NOT NULL,     -- a JSON object: by purpose
    mac bytea NOT NULL
);

-- The ids of the keys that MACs here were ever made with, each under a later one: a start asks for those in use.
CREATE TABLE stepup.mac_keys (
    id bytea PRIMARY KEY,
    mac bytea NOT NULL
);

-- The truth of a record is its body, and what it is worth its entry and its MAC say (log/records.py); workspace to at
-- are an index over it.
CREATE TABLE stepup.audit (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    entry text NOT NULL,
    mac bytea NOT NULL,
    refused text,                   -- why it gets no leaf
    workspace text NOT NULL,
    subject text NOT NULL,
    event text NOT NULL,
    outcome text NOT NULL,
    purpose text NOT NULL,
    prompt text NOT NULL,
    factor text NOT NULL,
    token bigint,                   -- that was redeemed
    person text,                    -- whose enrolment without a factor it changes (core/standing.py)
    held bigint,                    -- until when it closes strong purposes to them
    at bigint NOT NULL,
    body text NOT NULL
);
-- Two lead a purge: what is over, and enrolments, which stay as long as their factor or a proof by it does.
CREATE INDEX audit_keep ON stepup.audit ((entry::json ->> 'keep_until')) WHERE event <> 'FACTOR_ENROLLED';
CREATE INDEX audit_enrolled ON stepup.audit (seq) WHERE event = 'FACTOR_ENROLLED';
-- A factor that was removed counts no more, whatever is put back; one that was enrolled is missed.
CREATE INDEX audit_factor ON stepup.audit (factor) WHERE event = 'FACTOR_REMOVED';
CREATE INDEX audit_enrolled_by ON stepup.audit (workspace, subject, event) WHERE event = 'FACTOR_ENROLLED';
CREATE INDEX audit_enrolled_as ON stepup.audit (factor, event) WHERE event = 'FACTOR_ENROLLED';
-- A prompt is proved once: for ever, whatever its own row says later.
CREATE UNIQUE INDEX audit_proved ON stepup.audit (prompt) WHERE event = 'ACCOUNT_STEPUP_VERIFIED' AND prompt <> '';
-- Which pass, codes, right and reset of a person count, and the hold on them.
CREATE INDEX audit_person ON stepup.audit (workspace, person, held) WHERE person IS NOT NULL;
CREATE INDEX audit_policy ON stepup.audit (workspace, event, seq) WHERE event = 'POLICY_CHANGED';
CREATE INDEX audit_proof ON stepup.audit (factor) WHERE event = 'ACCOUNT_STEPUP_VERIFIED';
CREATE INDEX audit_at ON stepup.audit (at);
CREATE INDEX audit_workspace_at ON stepup.audit (workspace, at);
CREATE INDEX audit_workspace ON stepup.audit (workspace, seq);
CREATE INDEX audit_subject ON stepup.audit (workspace, subject, seq);
CREATE INDEX audit_event ON stepup.audit (workspace, event, seq);
CREATE INDEX audit_outcome ON stepup.audit (workspace, outcome, seq) WHERE outcome IN ('failure', 'denied');
CREATE INDEX audit_purpose ON stepup.audit (workspace, purpose, seq);
CREATE INDEX audit_prompt ON stepup.audit (prompt) WHERE prompt <> '';
-- A token authorizes one action: for ever, whatever its own row says later.
CREATE UNIQUE INDEX audit_token ON stepup.audit (token) WHERE token IS NOT NULL;

-- What not every sink has been handed yet: alerts, and notices to people.
CREATE TABLE stepup.deliveries (
    seq bigint NOT NULL,          -- the record of the log
    topic text NOT NULL,
    at bigint NOT NULL,
    held_until bigint NOT NULL,    -- until then a process is handing it over
    had text NOT NULL,              -- a JSON list of the sinks that have had it
    PRIMARY KEY (seq, topic)
);

-- The trees over the records, one for each log that was ever begun: the last one grows.
CREATE TABLE stepup.trees (
    log integer PRIMARY KEY,
    origin text NOT NULL UNIQUE,
    size bigint NOT NULL,
    root bytea NOT NULL,
    mac bytea NOT NULL
);

-- What a tree commits to: it stays when the record is purged.
CREATE TABLE stepup.leaves (
    log integer NOT NULL,
    idx bigint NOT NULL,
    record_id text NOT NULL UNIQUE,
    entry text NOT NULL,
    PRIMARY KEY (log, idx)
);

-- The hashes of a tree, up to 256 of 32 bytes in one tile (C2SP tlog-tiles).
CREATE TABLE stepup.tiles (
    log integer NOT NULL,
    level integer NOT NULL,
    number bigint NOT NULL,
    hashes bytea NOT NULL,
    PRIMARY KEY (log, level, number)
);
ALTER TABLE stepup.tiles ALTER COLUMN hashes SET STORAGE EXTERNAL; -- hashes do not compress

CREATE TABLE stepup.checkpoints (
    log integer NOT NULL,
    size bigint NOT NULL,
    note text NOT NULL,             -- with the signatures of the log and of its witnesses
    PRIMARY KEY (log, size)
);

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON stepup.audit FOR EACH ROW
WHEN (OLD.refused IS NOT NULL OR NEW.refused IS NULL
    OR (to_jsonb(NEW) - 'refused') IS DISTINCT FROM (to_jsonb(OLD) - 'refused'))
EXECUTE FUNCTION stepup.refuse('the audit log is append-only');

CREATE TRIGGER leaves_stay BEFORE UPDATE OR DELETE ON stepup.leaves FOR EACH ROW
EXECUTE FUNCTION stepup.refuse('a leaf stays as it is');

CREATE TRIGGER checkpoints_only_gain_signatures BEFORE UPDATE ON stepup.checkpoints FOR EACH ROW
WHEN (NEW.log <> OLD.log OR NEW.size <> OLD.size OR NOT starts_with(NEW.note, OLD.note))
EXECUTE FUNCTION stepup.refuse('a checkpoint stays as it is');

CREATE TRIGGER checkpoints_stay BEFORE DELETE ON stepup.checkpoints FOR EACH ROW
EXECUTE FUNCTION stepup.refuse('a checkpoint stays as it is');

CREATE TRIGGER tiles_only_grow BEFORE UPDATE ON stepup.tiles FOR EACH ROW
WHEN (NEW.log <> OLD.log OR NEW.level <> OLD.level OR NEW.number <> OLD.number
    OR substr(NEW.hashes, 1, length(OLD.hashes)) <> OLD.hashes)
EXECUTE FUNCTION stepup.refuse('a tile only grows');

CREATE TRIGGER tiles_stay BEFORE DELETE ON stepup.tiles FOR EACH ROW
EXECUTE FUNCTION stepup.refuse('a tile only grows');

CREATE TRIGGER trees_only_grow BEFORE UPDATE ON stepup.trees FOR EACH ROW
WHEN (NEW.log <> OLD.log OR NEW.origin <> OLD.origin OR NEW.size < OLD.size
    OR (NEW.size = OLD.size AND NEW.root <> OLD.root))
EXECUTE FUNCTION stepup.refuse('a tree only grows');

CREATE TRIGGER trees_stay BEFORE DELETE ON stepup.trees FOR EACH ROW
EXECUTE FUNCTION stepup.refuse('a tree only grows');

CREATE TRIGGER leaves_are_never_emptied BEFORE TRUNCATE ON stepup.leaves FOR EACH STATEMENT
EXECUTE FUNCTION stepup.refuse('a leaf stays as it is');

CREATE TRIGGER checkpoints_are_never_emptied BEFORE TRUNCATE ON stepup.checkpoints FOR EACH STATEMENT
EXECUTE FUNCTION stepup.refuse('a checkpoint stays as it is');

CREATE TRIGGER tiles_are_never_emptied BEFORE TRUNCATE ON stepup.tiles FOR EACH STATEMENT
EXECUTE FUNCTION stepup.refuse('a tile only grows');

CREATE TRIGGER trees_are_never_emptied BEFORE TRUNCATE ON stepup.trees FOR EACH STATEMENT
EXECUTE FUNCTION stepup.refuse('a tree only grows');

CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON stepup.audit FOR EACH STATEMENT
EXECUTE FUNCTION stepup.refuse('the audit log is append-only');

-- The day by the database's own clock, in UTC.
CREATE FUNCTION stepup.today() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')
$$;

-- A record goes only when its leaf says so, and the leaf stays.
CREATE FUNCTION stepup.refuse_unpurged() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM stepup.leaves AS l
        WHERE l.record_id = OLD.id AND l.entry::json ->> 'keep_until' < stepup.today()
    ) THEN
        RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END
$$;

CREATE TRIGGER audit_is_only_purged BEFORE DELETE ON stepup.audit FOR EACH ROW
EXECUTE FUNCTION stepup.refuse_unpurged();

-- Where and since when this database is. A cluster that was promoted or recovered from an archive is on another
-- timeline, a dump that was read back has other table numbers, a copy made by other means another system identifier;
-- and nobody puts a data directory back without starting the server anew. After each of them a token may be issued
-- again that was redeemed already. That an honest restart ends the tokens of its moment as well is the price.
CREATE FUNCTION stepup.place() RETURNS text LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT (pg_control_system()).system_identifier::text
        || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
        || '/' || 'stepup.meta'::regclass::oid::text
        || '/' || extract(epoch FROM pg_postmaster_start_time())::text
$$;

-- Run at the beginning of every transaction that writes. Raises SU001 when the database is not where it was or
-- has less of the log than was seen before, SU002 when a commit would not be durable, SU003 when it cannot write.
-- A node tells the schema it was made for, so that one of a version that a later migration shut out stops where it is
-- (SU004). Such a migration says so:
--     UPDATE stepup.schema_version SET oldest = <the oldest schema whose code still works>
-- One that only adds says nothing, and nodes of the version before go on beside it.
CREATE FUNCTION stepup.check_writer(known_place text, known_seq bigint, known_schema integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF known_schema < (SELECT v.oldest FROM stepup.schema_version AS v) THEN
        RAISE EXCEPTION 'the database was changed by a newer version: upgrade first' USING ERRCODE = 'SU004';
    END IF;
    IF pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' THEN
        RAISE EXCEPTION 'the database is read-only' USING ERRCODE = 'SU003';
    END IF;
    IF current_setting('synchronous_commit') = 'off' OR current_setting('fsync') = 'off' THEN
        RAISE EXCEPTION 'commits would not be durable' USING ERRCODE = 'SU002';
    END IF;
    IF stepup.place() <> known_place
        OR known_place <> (SELECT m.place FROM stepup.meta AS m)
        OR known_seq > (SELECT s.last_value FROM stepup.audit_seq_seq AS s)
    THEN
        RAISE EXCEPTION 'the database is not the one that was open before' USING ERRCODE = 'SU001';
    END IF;
END
$$;

-- Return a sequence number up to which the log is complete: no transaction that runs has a lower one. Writers
-- never wait for each other; who follows the log waits here for those that had begun, which takes as long as
-- their commits. The number is read before the locks: what takes numbers later has higher ones.
CREATE FUNCTION stepup.settled() RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    last bigint;
    held oid;
BEGIN
    SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO last FROM stepup.audit_seq_seq AS s;
    FOR held IN
        SELECT DISTINCT l.objid FROM pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.classid = 1398030677 AND l.objsubid = 2 AND l.granted
          AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    LOOP
        PERFORM pg_advisory_xact_lock(1398030677, held::bigint::integer);
    END LOOP;
    RETURN last;
END
$$;

INSERT INTO stepup.meta (id, epoch, place) VALUES (1, 1, stepup.place());
