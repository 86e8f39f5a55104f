-- Moments are whole microseconds since 1970 in UTC. Names of columns are those of the contract's values.

CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    database TEXT NOT NULL,         -- random name of this database
    foundation TEXT NOT NULL,       -- of the script that made it
    oldest INTEGER NOT NULL DEFAULT 1, -- the oldest schema whose code may use the database
    epoch INTEGER NOT NULL,         -- prompts and tokens of an earlier epoch are worthless
    batch INTEGER NOT NULL,         -- number of the last committed batch: tells a restored backup
    hot TEXT NOT NULL DEFAULT '',   -- the one server of hot state that may serve the epoch
    purged_at INTEGER NOT NULL DEFAULT 0, -- when a purge last believed the clock
    approvals INTEGER NOT NULL DEFAULT 0, -- number of the last change of an approval
    back INTEGER NOT NULL DEFAULT 0 -- how far the time of a record ever lay before that of an earlier one
);

CREATE TABLE prompts (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    session TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'proved', 'cancelled')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    body TEXT NOT NULL,             -- everything else of the prompt, as JSON
    token INTEGER,                  -- the token that its proof brought
    challenge_nonce BLOB,
    challenge_factors TEXT,         -- a JSON list of factor ids
    challenge_expires_at INTEGER,
    mac BLOB NOT NULL               -- over what was asked; what became of it, the log tells
);
CREATE INDEX prompts_by_session ON prompts (workspace, subject, session);

CREATE TABLE refused_sessions (
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    session TEXT NOT NULL,
    logged_at INTEGER NOT NULL,
    unlogged INTEGER NOT NULL,      -- refusals since then that the log does not tell
    blocked INTEGER NOT NULL DEFAULT 0, -- requests refused for want of a factor: they count like prompts …
    blocked_until INTEGER NOT NULL DEFAULT 0, -- … until then
    PRIMARY KEY (workspace, subject, session)
) WITHOUT ROWID;

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of minting: redemption then walks few pages
    nonce BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('uncollected', 'issued', 'redeemed', 'revoked')),
    prompt TEXT NOT NULL,
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    session TEXT NOT NULL,
    ip TEXT NOT NULL,
    purpose TEXT NOT NULL,
    requirement TEXT NOT NULL,
    policy_version INTEGER NOT NULL,
    request_digest BLOB NOT NULL,
    details_digest BLOB NOT NULL,
    factor TEXT NOT NULL,
    factor_kind TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    mac BLOB NOT NULL,              -- over all until here but the state: that, the log tells
    batch INTEGER,                  -- the batch that redeemed it
    attempt BLOB,
    redeemed_at INTEGER,
    redeemed_ip TEXT NOT NULL DEFAULT '',
    redeemed_user_agent TEXT NOT NULL DEFAULT '',
    replays INTEGER NOT NULL DEFAULT 0,
    presenters BLOB NOT NULL DEFAULT x'', -- digests of those whose replays were told, 16 bytes each
    revoked TEXT NOT NULL DEFAULT '' -- why
);

CREATE TRIGGER tokens_stay_redeemed BEFORE UPDATE OF state ON tokens
WHEN OLD.state NOT IN ('uncollected', 'issued') AND NEW.state <> OLD.state
BEGIN
    SELECT RAISE(ABORT, 'a redeemed or revoked token never changes its state');
END;

CREATE TABLE people (
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_handle BLOB,
    last_step INTEGER NOT NULL DEFAULT 0,
    mac BLOB,                       -- over the user handle
    PRIMARY KEY (workspace, subject)
) WITHOUT ROWID;

CREATE TABLE factors (
    id TEXT PRIMARY KEY,
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('passkey', 'hardware_key', 'totp')),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    credential_id BLOB UNIQUE,
    public_key BLOB,
    algorithm INTEGER,
    sign_count INTEGER,
    backup_eligible INTEGER,
    backed_up INTEGER,
    transports TEXT,                -- a JSON list
    aaguid TEXT,
    user_handle BLOB,
    encrypted_secret BLOB,
    last_step INTEGER NOT NULL DEFAULT 0, -- of 30 seconds each: the last one that was accepted
    mac BLOB NOT NULL               -- over all that decides: a row without it does not count (stores/sealing.py)
) WITHOUT ROWID;
CREATE INDEX factors_by_person ON factors (workspace, subject);

CREATE TABLE enrolments (
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    session TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    basis TEXT NOT NULL,            -- what it began on
    ip TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    challenge BLOB NOT NULL,
    encrypted_secret BLOB NOT NULL,
    mac BLOB NOT NULL,
    PRIMARY KEY (workspace, subject, session, kind)
) WITHOUT ROWID;

-- An enrolment pass a person: what an admin hands out for a first factor. Rows of this and the tables to known_people
-- count only with their MAC (stores/recovery_rows.py).
CREATE TABLE enrolment_passes (
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    id TEXT NOT NULL,
    digest BLOB NOT NULL,           -- SHA-256 of the secret
    issued_at INTEGER NOT NULL,
    issued_by TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    tries INTEGER NOT NULL,         -- wrong ones
    used_at INTEGER,
    mac BLOB NOT NULL,
    PRIMARY KEY (workspace, subject)
) WITHOUT ROWID;
CREATE INDEX enrolment_passes_over ON enrolment_passes (expires_at);

-- The right to enrol one factor, that a pass or a recovery code opened.
CREATE TABLE enrolment_rights (
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    session TEXT NOT NULL,
    ip TEXT NOT NULL,
    basis TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    mac BLOB NOT NULL,
    PRIMARY KEY (workspace, subject)
) WITHOUT ROWID;
CREATE INDEX enrolment_rights_over ON enrolment_rights (expires_at);

CREATE TABLE recovery_codes (
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    id TEXT NOT NULL,               -- of the set
    made_at INTEGER NOT NULL,
    salt BLOB NOT NULL,
    hashes BLOB NOT NULL,           -- scrypt, 32 bytes each
    used TEXT NOT NULL,             -- a JSON list of the numbers of used ones
    mac BLOB NOT NULL,
    PRIMARY KEY (workspace, subject)
) WITHOUT ROWID;

-- Resets that wait for a second admin.
CREATE TABLE reset_requests (
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    id TEXT NOT NULL,
    subject_name TEXT NOT NULL,
    reason TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_by_name TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    with_pass INTEGER NOT NULL,     -- 1: it hands out an enrolment pass
    mac BLOB NOT NULL,
    PRIMARY KEY (workspace, subject)
) WITHOUT ROWID;
CREATE INDEX reset_requests_over ON reset_requests (expires_at);

-- What a program asks, and its person decides in a browser of theirs. A row counts only with its MAC
-- (stores/approval_rows.py).
CREATE TABLE approvals (
    prompt TEXT PRIMARY KEY,
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    session TEXT NOT NULL,            -- of the program
    purpose TEXT NOT NULL,
    code BLOB NOT NULL,             -- keyed digest of the code in the link
    digits TEXT NOT NULL,             -- two, which the program shows and the person types
    asked_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    body TEXT NOT NULL,               -- the prompt, as JSON
    state TEXT NOT NULL CHECK (state IN ('waiting', 'approved', 'denied', 'cancelled')),
    tries INTEGER NOT NULL,            -- of the digits, wrong ones
    matched TEXT NOT NULL,            -- the session that typed them right
    decided_at INTEGER,
    decider TEXT NOT NULL,            -- session, address and browser of who decided, as JSON
    reason TEXT NOT NULL,             -- why it was denied or cancelled
    token INTEGER,                     -- what it brought
    nonce BLOB,
    mac BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    changed INTEGER NOT NULL           -- number of its last change
) WITHOUT ROWID;
CREATE INDEX approvals_of_person ON approvals (workspace, subject, asked_at);
CREATE INDEX approvals_by_code ON approvals (code);
CREATE INDEX approvals_changed ON approvals (changed);
CREATE INDEX approvals_over ON approvals (expires_at);

-- Whom the library has met, by the names that the app gave.
CREATE TABLE known_people (
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    name TEXT NOT NULL,
    login TEXT NOT NULL,
    sort TEXT NOT NULL,
    search TEXT NOT NULL,           -- what a search looks through
    mac BLOB NOT NULL,
    PRIMARY KEY (workspace, subject)
) WITHOUT ROWID;
CREATE INDEX known_people_by_name ON known_people (workspace, sort, subject);

CREATE TABLE attempts (
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    bucket TEXT NOT NULL,
    failed INTEGER NOT NULL,
    closed_until INTEGER NOT NULL,
    PRIMARY KEY (workspace, subject, bucket)
) WITHOUT ROWID;

CREATE TABLE policies (
    workspace TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    requirements TEXT NOT NULL,     -- a JSON object: by purpose
    mac BLOB NOT NULL
) WITHOUT ROWID;

-- The ids of the keys that MACs here were ever made with, each under a later one: a start asks for those in use.
CREATE TABLE mac_keys (
    id BLOB PRIMARY KEY,
    mac BLOB NOT NULL
) WITHOUT ROWID;

-- The truth of a record is its body, and what it is worth its entry and its MAC say (log/records.py); workspace to high
-- are an index over it.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    entry TEXT NOT NULL,
    mac BLOB NOT NULL,
    refused TEXT,                   -- why it gets no leaf
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    event TEXT NOT NULL,
    outcome TEXT NOT NULL,
    purpose TEXT NOT NULL,
    prompt TEXT NOT NULL,
    factor TEXT NOT NULL,
    token INTEGER,                  -- that was redeemed
    person TEXT,                    -- whose enrolment without a factor it changes (core/standing.py)
    held INTEGER,                   -- until when it closes strong purposes to them
    at INTEGER NOT NULL,
    high INTEGER NOT NULL,          -- the latest time of this and all earlier records: grows with seq
    body TEXT NOT NULL
);
-- Two lead a purge: what is over (keep_until stands before the last 8 characters of an entry), and enrolments, which stay as long as their factor or a proof by it does.
CREATE INDEX audit_keep ON audit (substr(entry, -18, 10)) WHERE event <> 'FACTOR_ENROLLED';
CREATE INDEX audit_enrolled ON audit (seq) WHERE event = 'FACTOR_ENROLLED';
-- A factor that was removed counts no more, whatever is put back; one that was enrolled is missed.
CREATE INDEX audit_factor ON audit (factor) WHERE event = 'FACTOR_REMOVED';
CREATE INDEX audit_enrolled_by ON audit (workspace, subject, event) WHERE event = 'FACTOR_ENROLLED';
CREATE INDEX audit_enrolled_as ON audit (factor, event) WHERE event = 'FACTOR_ENROLLED';
-- A prompt is proved once: for ever, whatever its own row says later.
CREATE UNIQUE INDEX audit_proved ON audit (prompt) WHERE event = 'ACCOUNT_STEPUP_VERIFIED' AND prompt <> '';
-- Which pass, codes, right and reset of a person count, and the hold on them.
CREATE INDEX audit_person ON audit (workspace, person, held) WHERE person IS NOT NULL;
CREATE INDEX audit_policy ON audit (workspace, event) WHERE event = 'POLICY_CHANGED';
CREATE INDEX audit_proof ON audit (factor) WHERE event = 'ACCOUNT_STEPUP_VERIFIED';
CREATE INDEX audit_high ON audit (high);
CREATE INDEX audit_workspace ON audit (workspace);
-- These two lead to the records of every combination of facets: see query.py.
CREATE INDEX audit_subject ON audit (workspace, subject, purpose, event, outcome);
CREATE INDEX audit_purpose ON audit (workspace, purpose, event, outcome);
CREATE INDEX audit_prompt ON audit (prompt) WHERE prompt <> '';
-- A token authorizes one action: for ever, whatever its own row says later.
CREATE UNIQUE INDEX audit_token ON audit (token) WHERE token IS NOT NULL;
CREATE INDEX audit_unprompted ON audit (workspace) WHERE prompt = '';

-- What not every sink has been handed yet: alerts, and notices to people.
CREATE TABLE deliveries (
    seq INTEGER NOT NULL,         -- the record of the log
    topic TEXT NOT NULL,
    at INTEGER NOT NULL,
    held_until INTEGER NOT NULL,    -- until then a process is handing it over
    had TEXT NOT NULL,              -- a JSON list of the sinks that have had it
    PRIMARY KEY (seq, topic)
);

-- The trees over the records, one for each log that was ever begun: the last one grows.
CREATE TABLE trees (
    log INTEGER PRIMARY KEY,
    origin TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    mac BLOB NOT NULL
);

-- What a tree commits to: it stays when the record is purged.
CREATE TABLE leaves (
    log INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    record_id TEXT NOT NULL UNIQUE,
    entry TEXT NOT NULL,
    PRIMARY KEY (log, idx)
) WITHOUT ROWID;

-- The hashes of a tree, up to 256 of 32 bytes in one tile (C2SP tlog-tiles).
CREATE TABLE tiles (
    log INTEGER NOT NULL,
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (log, level, number)
);

CREATE TABLE checkpoints (
    log INTEGER NOT NULL,
    size INTEGER NOT NULL,
    note TEXT NOT NULL,             -- with the signatures of the log and of its witnesses
    PRIMARY KEY (log, size)
);

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
WHEN OLD.refused IS NOT NULL OR NEW.refused IS NULL OR NEW.seq <> OLD.seq OR NEW.id <> OLD.id
    OR NEW.entry <> OLD.entry OR NEW.mac <> OLD.mac OR NEW.body <> OLD.body OR NEW.workspace <> OLD.workspace
    OR NEW.subject <> OLD.subject OR NEW.event <> OLD.event OR NEW.outcome <> OLD.outcome
    OR NEW.purpose <> OLD.purpose OR NEW.prompt <> OLD.prompt OR NEW.factor <> OLD.factor OR NEW.token IS NOT OLD.token
    OR NEW.person IS NOT OLD.person OR NEW.held IS NOT OLD.held OR NEW.at <> OLD.at OR NEW.high <> OLD.high
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER leaves_are_never_changed BEFORE UPDATE ON leaves
BEGIN
    SELECT RAISE(ABORT, 'a leaf stays as it is');
END;

CREATE TRIGGER leaves_stay BEFORE DELETE ON leaves
BEGIN
    SELECT RAISE(ABORT, 'a leaf stays as it is');
END;

CREATE TRIGGER checkpoints_only_gain_signatures BEFORE UPDATE ON checkpoints
WHEN NEW.log <> OLD.log OR NEW.size <> OLD.size OR substr(NEW.note, 1, length(OLD.note)) <> OLD.note
BEGIN
    SELECT RAISE(ABORT, 'a checkpoint stays as it is');
END;

CREATE TRIGGER checkpoints_stay BEFORE DELETE ON checkpoints
BEGIN
    SELECT RAISE(ABORT, 'a checkpoint stays as it is');
END;

CREATE TRIGGER tiles_only_grow BEFORE UPDATE ON tiles
WHEN NEW.log <> OLD.log OR NEW.level <> OLD.level OR NEW.number <> OLD.number
    OR substr(NEW.hashes, 1, length(OLD.hashes)) <> OLD.hashes
BEGIN
    SELECT RAISE(ABORT, 'a tile only grows');
END;

CREATE TRIGGER tiles_stay BEFORE DELETE ON tiles
BEGIN
    SELECT RAISE(ABORT, 'a tile only grows');
END;

CREATE TRIGGER trees_only_grow BEFORE UPDATE ON trees
WHEN NEW.log <> OLD.log OR NEW.origin <> OLD.origin OR NEW.size < OLD.size
    OR (NEW.size = OLD.size AND NEW.root <> OLD.root)
BEGIN
    SELECT RAISE(ABORT, 'a tree only grows');
END;

CREATE TRIGGER trees_stay BEFORE DELETE ON trees
BEGIN
    SELECT RAISE(ABORT, 'a tree only grows');
END;

-- A record goes only when its leaf says so, and the leaf stays.
CREATE TRIGGER audit_is_only_purged BEFORE DELETE ON audit
WHEN NOT EXISTS (
    SELECT 1 FROM leaves AS l WHERE l.record_id = OLD.id AND substr(l.entry, -18, 10) < date('now')
)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
