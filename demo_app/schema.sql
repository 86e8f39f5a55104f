-- The demo's own tables. Times are ISO 8601 text in UTC, money is whole cents.
-- Idempotent: every worker runs it at start-up inside one transaction.

CREATE TABLE IF NOT EXISTS setting (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS account (
    id            TEXT PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    is_admin      INTEGER NOT NULL,
    password_hash TEXT NOT NULL
) STRICT;

-- The id is the SHA-256 of the one in the cookie: a copy of the file opens no session.
CREATE TABLE IF NOT EXISTS session (
    id           TEXT PRIMARY KEY,
    account_id   TEXT NOT NULL REFERENCES account (id),
    signed_in_at TEXT NOT NULL,
    ended_at     TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS sign_in_failure (
    id    INTEGER PRIMARY KEY,
    email TEXT NOT NULL,
    at    TEXT NOT NULL,
    cause TEXT NOT NULL CHECK (cause IN ('password', 'step-up'))
) STRICT;
CREATE INDEX IF NOT EXISTS sign_in_failure_by_email ON sign_in_failure (email, at);

-- What people were told of their own account, in the place of e-mail.
CREATE TABLE IF NOT EXISTS message (
    id         INTEGER PRIMARY KEY,
    notice_id  TEXT NOT NULL UNIQUE,
    at         TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES account (id),
    locale     TEXT NOT NULL,
    title      TEXT NOT NULL,
    text       TEXT NOT NULL
) STRICT;

-- What was done, by whom, and the prompt that authorized it: written with the change itself.
CREATE TABLE IF NOT EXISTS activity (
    id         INTEGER PRIMARY KEY,
    at         TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES account (id),
    sentence   TEXT NOT NULL,
    purpose    TEXT,
    prompt_id  TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS employee (
    number         INTEGER PRIMARY KEY,
    name           TEXT NOT NULL,
    tax_id         TEXT NOT NULL,
    routing_number TEXT NOT NULL,
    account_number TEXT NOT NULL,
    account_type   TEXT NOT NULL CHECK (account_type IN ('checking', 'savings'))
) STRICT;

CREATE TABLE IF NOT EXISTS payroll_run (
    id             TEXT PRIMARY KEY,
    title          TEXT NOT NULL,
    pay_date       TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('draft', 'transmitted')),
    transmitted_at TEXT,
    transmitted_by TEXT REFERENCES account (id),
    file_name      TEXT,
    file           BLOB,
    CHECK ((state = 'transmitted') = (file IS NOT NULL))
) STRICT;

CREATE TABLE IF NOT EXISTS payment (
    run_id   TEXT NOT NULL REFERENCES payroll_run (id),
    employee INTEGER NOT NULL REFERENCES employee (number),
    cents    INTEGER NOT NULL CHECK (cents > 0),
    PRIMARY KEY (run_id, employee)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS equity_grant (
    id               TEXT PRIMARY KEY,
    grantee          INTEGER NOT NULL REFERENCES employee (number),
    instrument       TEXT NOT NULL,
    shares           INTEGER NOT NULL CHECK (shares > 0),
    price_cents      INTEGER NOT NULL,
    vesting          TEXT NOT NULL,
    first_signer     TEXT REFERENCES account (id),
    first_signed_at  TEXT,
    second_signer    TEXT REFERENCES account (id),
    second_signed_at TEXT,
    document_name    TEXT,
    document_sha256  TEXT,
    document         BLOB,
    CHECK (second_signer IS NULL OR first_signer IS NOT NULL),
    CHECK (second_signer IS NULL OR second_signer <> first_signer)
) STRICT;

CREATE TABLE IF NOT EXISTS year_end_form (
    id           TEXT PRIMARY KEY,
    form         TEXT NOT NULL CHECK (form IN ('W-2', '1099-NEC', 'T4', '1095-C')),
    tax_year     INTEGER NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('prepared', 'finalized')),
    finalized_at TEXT,
    finalized_by TEXT REFERENCES account (id),
    file_name    TEXT,
    file_sha256  TEXT,
    file         BLOB,
    CHECK ((state = 'finalized') = (file IS NOT NULL))
) STRICT;

CREATE TABLE IF NOT EXISTS year_end_slip (
    form_id    TEXT NOT NULL REFERENCES year_end_form (id),
    employee   INTEGER NOT NULL REFERENCES employee (number),
    paid_cents INTEGER NOT NULL,
    tax_cents  INTEGER NOT NULL,
    PRIMARY KEY (form_id, employee)
) STRICT, WITHOUT ROWID;

-- A person's data in the product; an erasure empties the columns and deletes the documents.
CREATE TABLE IF NOT EXISTS member (
    id         TEXT PRIMARY KEY,
    label      TEXT NOT NULL,
    email      TEXT,
    phone      TEXT,
    address    TEXT,
    birth_date TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS member_document (
    id        INTEGER PRIMARY KEY,
    member_id TEXT NOT NULL REFERENCES member (id),
    title     TEXT NOT NULL,
    body      TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS erasure (
    id               TEXT PRIMARY KEY,
    member_id        TEXT NOT NULL REFERENCES member (id),
    requested_by     TEXT NOT NULL REFERENCES account (id),
    requested_at     TEXT NOT NULL,
    cooling_off_ends TEXT NOT NULL,
    approved_by      TEXT REFERENCES account (id),
    approved_at      TEXT,
    finalized_by     TEXT REFERENCES account (id),
    finalized_at     TEXT,
    CHECK (approved_by IS NULL OR approved_by <> requested_by),
    CHECK (finalized_by IS NULL OR approved_by IS NOT NULL)
) STRICT;

CREATE TABLE IF NOT EXISTS hold (
    id              TEXT PRIMARY KEY,
    erasure_id      TEXT NOT NULL REFERENCES erasure (id),
    rule            TEXT NOT NULL,
    ends_on         TEXT NOT NULL,
    overridden_by   TEXT REFERENCES account (id),
    overridden_at   TEXT,
    override_reason TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS webhook (
    id               TEXT PRIMARY KEY,
    url              TEXT NOT NULL,
    events           TEXT NOT NULL,
    encrypted_secret BLOB NOT NULL,
    secret_version   INTEGER NOT NULL,
    rotated_at       TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS scim_token (
    id         TEXT PRIMARY KEY,
    prefix     TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    created_at TEXT NOT NULL,
    revoked_at TEXT,
    revoked_by TEXT REFERENCES account (id)
) STRICT;

CREATE TABLE IF NOT EXISTS access_token (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES account (id),
    prefix     TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    scope      TEXT NOT NULL CHECK (scope IN ('read', 'write', 'admin')),
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS saml_provider (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    entity_id  TEXT NOT NULL,
    enabled    INTEGER NOT NULL,
    people     INTEGER NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS network_range (
    cidr  TEXT PRIMARY KEY,
    label TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS domain (
    hostname    TEXT PRIMARY KEY,
    record      TEXT NOT NULL,
    verified_at TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS branding (
    id          TEXT PRIMARY KEY,
    subdomain   TEXT NOT NULL,
    site        TEXT NOT NULL,
    issued_at   TEXT,
    issued_by   TEXT REFERENCES account (id),
    serial      TEXT,
    expires_at  TEXT,
    fingerprint TEXT,
    certificate TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS data_export (
    id            TEXT PRIMARY KEY,
    title         TEXT NOT NULL,
    content       TEXT NOT NULL CHECK (content IN ('people', 'payroll', 'equity')),
    prepared_at   TEXT NOT NULL,
    downloads     INTEGER NOT NULL DEFAULT 0,
    downloaded_at TEXT,
    downloaded_by TEXT REFERENCES account (id)
) STRICT;

-- Exports of the audit log, and how far each has come: position lies between first and last.
CREATE TABLE IF NOT EXISTS audit_export (
    id          INTEGER PRIMARY KEY,
    account_id  TEXT NOT NULL REFERENCES account (id),
    format      TEXT NOT NULL,
    wanted      TEXT NOT NULL,
    started_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    finished_at TEXT,
    events      INTEGER NOT NULL DEFAULT 0,
    first       INTEGER NOT NULL DEFAULT 0,
    position    INTEGER NOT NULL DEFAULT 0,
    last        INTEGER NOT NULL,
    manifest    TEXT
) STRICT;
