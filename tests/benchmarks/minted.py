"""A SQLite store with a person in it, and tokens of theirs by the thousand.

Tokens are written straight into the table, as the store writes them: what is measured is what becomes of them.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from stepup_middleware.core.decisions import Presentation
from stepup_middleware.core.factors import WebAuthnFactor
from stepup_middleware.core.moments import time_ordered_id
from stepup_middleware.core.prompts import Prompt
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.rows import grant_row
from stepup_middleware.stores.sealing import sealed_token
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.stores.sqlite.log_reader import load_sql
from stepup_middleware.testing.contract.values import (
    MACS,
    OWNER,
    TRANSMIT,
    TTL,
    ask,
    enrol,
    grant_for,
    passkey,
    shown_for,
)

PATIENT = timedelta(seconds=30)
SQL = load_sql()


def prompts_like(prompt: Prompt, count: int) -> Iterator[Prompt]:
    """Yield so many prompts like one, with ids as if they were asked for a millisecond apart."""
    began = datetime.now(UTC)
    for place in range(count):
        yield replace(prompt, id=time_ordered_id(began + timedelta(milliseconds=place), secrets.token_bytes(16)))


class Mint:
    """Tokens of one person, a prompt each, in the database at ``path``."""

    def __init__(self, path: Path, prompt: Prompt, factor: WebAuthnFactor, macs: RowMacs) -> None:
        self.path = path
        self._macs = macs
        self._prompt = prompt
        self._factor = factor

    def tokens(self, count: int, *, issued_at: datetime | None = None) -> list[TokenReference]:
        """Issue so many tokens, a second after the prompt was asked or at another moment."""
        at = issued_at or self._prompt.created_at + timedelta(seconds=1)
        times = {"issued_at": at, "expires_at": at + TTL}
        grants = [
            grant_for(prompt, self._factor, sign_count=0, nonce=secrets.token_bytes(16), **times)
            for prompt in prompts_like(self._prompt, count)
        ]
        with connected(self.path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            insert = SQL["insert_tokens"].removesuffix("RETURNING prompt, id")
            (epoch,) = connection.execute("SELECT epoch FROM meta").fetchone()
            connection.executemany(
                insert, [(*sealed_token(self._macs, epoch, grant_row(grant)), grant.state.value) for grant in grants]
            )
            (last,) = connection.execute("SELECT max(id) FROM tokens").fetchone()
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # now, and not while something is measured
        return [TokenReference(last - count + place, grant.nonce) for place, grant in enumerate(grants, 1)]

    def presentations(self, count: int) -> list[Presentation]:
        """Issue so many tokens, and return how their holder shows them."""
        return [shown_for(self._prompt, reference) for reference in self.tokens(count)]


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Connect to a database as the store does: a write-ahead log, and every commit durable."""
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None, cached_statements=256)) as connection:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY", "cache_size = -32768"):
            connection.execute(f"PRAGMA {pragma}")
        yield connection


async def mint_in(path: Path, subject: Subject = OWNER, *, macs: RowMacs = MACS, **fields: Any) -> Mint:
    """Create a database at a path, with a person, their passkey and a prompt.

    ``macs`` are those of whoever opens it then, ``fields`` the prompt's.
    """
    async with SQLiteStore(path, timeout=PATIENT).use(macs) as store:
        factor = await enrol(store, subject, passkey(sign_count=0))
        assert isinstance(factor, WebAuthnFactor)
        return Mint(path, await ask(store, subject, TRANSMIT, **fields), factor, macs)
