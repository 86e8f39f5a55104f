"""Fill the tables of a SQLite store with rows such as years of use leave, quickly."""

from __future__ import annotations

from pathlib import Path

from .minted import connected

SUBJECTS = 10_000
WORKSPACES = 100

_TOKENS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
INSERT INTO tokens (
    nonce, epoch, state, prompt, workspace, subject, session, ip, purpose, requirement, policy_version,
    request_digest, details_digest, factor, factor_kind, issued_at, expires_at, mac, batch, attempt, redeemed_at
)
SELECT randomblob(16), t.epoch, 'redeemed', printf('%012x', i) || lower(hex(randomblob(16))),
    'w-' || (i % :workspaces), 'u-' || (i % :subjects), t.session, t.ip, t.purpose, t.requirement,
    t.policy_version, t.request_digest, t.details_digest, t.factor, t.factor_kind,
    t.issued_at, t.expires_at, t.mac, 1, randomblob(16), t.issued_at
FROM n, (SELECT * FROM tokens ORDER BY id LIMIT 1) AS t
"""
_AUDIT = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
INSERT INTO audit (
    id, entry, mac, workspace, subject, event, outcome, purpose, prompt, factor, at, high, body
)
SELECT printf('%012x', i) || lower(hex(randomblob(10))), a.entry, a.mac, 'w-' || (i % :workspaces),
    'u-' || (i % :subjects), a.event, a.outcome, a.purpose, printf('%012x', i) || lower(hex(randomblob(16))), a.factor,
    a.at, a.high, a.body
FROM n, (SELECT * FROM audit WHERE prompt <> '' ORDER BY seq LIMIT 1) AS a
"""


def grow(path: Path, rows: int) -> None:
    """Add so many redeemed tokens and audit rows. The store must be closed, and hold one of each.

    The indexes of the log are made anew at the end, which takes a fraction of the time.
    """
    values = {"rows": rows, "workspaces": WORKSPACES, "subjects": SUBJECTS}
    with connected(path) as connection:
        connection.execute("PRAGMA journal_mode = OFF")  # of a database that nobody else has open
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -262144")
        found = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'audit' AND sql IS NOT NULL"
        indexes = connection.execute(found).fetchall()
        connection.execute("BEGIN")
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        connection.execute(_TOKENS, values)
        connection.execute(_AUDIT, values)
        for _, statement in indexes:
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
