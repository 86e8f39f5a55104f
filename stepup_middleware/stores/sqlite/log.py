"""The writing end of the audit log: gives each event its place in the log and in its chain."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from stepup_middleware.core.chain import GENESIS, chain_name, leaf_hash, link_hash
from stepup_middleware.core.moments import span_micros
from stepup_middleware.core.retention import ALERT_LEASE
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sql.transaction import NewRecord
from stepup_middleware.stores.subscribers import Written

from .chunks import chunked

_LEASE = span_micros(ALERT_LEASE)


class Log:
    """Writes the events of a transaction with one statement.

    Keeps the heads of the chains between transactions. A caller that sees that another process wrote, or that a
    transaction was rolled back, calls ``forget``; a head that is wrong all the same breaks the unique index over chain
    and link, never a chain.
    """

    def __init__(self, connection: sqlite3.Connection, sql: Mapping[str, str], database: str) -> None:
        self._connection = connection
        self._sql = sql
        self._database = database
        self._names: dict[int, str] = {}
        self._heads: dict[str, tuple[int, bytes]] = {}
        self._known = False
        self._high = 0
        self._back = 0
        self._last_seq = 0

    def forget(self) -> None:
        """Drop what is remembered of the log."""
        self._heads.clear()
        self._known = False

    def _learn(self) -> None:
        read = self._connection.execute
        row = read(self._sql["last_seq"]).fetchone()
        self._last_seq = 0 if row is None else row[0]
        row = read(self._sql["highest"]).fetchone()
        self._high = 0 if row is None else row[0]
        self._back = read(self._sql["read_meta"]).fetchone()[2]
        self._known = True

    def _head(self, chain: str) -> tuple[int, bytes]:
        head = self._connection.execute(self._sql["chain_head"], (chain,)).fetchone()
        if head is None:
            head = self._connection.execute(self._sql["read_chain_start"], (chain,)).fetchone()
        return head or (0, GENESIS)

    def write(self, entries: Sequence[NewRecord]) -> list[Written]:
        """Link entries to their chains and insert them. Returns their sequence numbers, in their order."""
        if not self._known:
            self._learn()
        names, heads = self._names, self._heads
        rows: list[Row] = []
        written: list[Written] = []
        for sealed, at, years, workspace, subject, event, outcome, purpose, prompt, token, make, alerts in entries:
            chain = names.get(years)
            if chain is None:
                chain = names[years] = chain_name(self._database, years)
            head = heads.get(chain)
            link, previous = self._head(chain) if head is None else head
            link += 1
            hash_ = link_hash(chain, link, previous, leaf_hash(sealed.body))
            heads[chain] = (link, hash_)
            if at >= self._high:
                self._high = at
            elif self._high - at > self._back:
                self._back = self._high - at
                self._connection.execute(self._sql["set_back"], (self._back,))
            seq = self._last_seq = self._last_seq + 1
            written.append((seq, make))
            rows.append(
                (
                    seq,
                    sealed.id,
                    sealed.entry,
                    sealed.mac,
                    chain,
                    link,
                    previous,
                    hash_,
                    workspace,
                    subject,
                    event,
                    outcome,
                    purpose,
                    prompt,
                    token,
                    at,
                    self._high,
                    sealed.body,
                )
            )
            if alerts:
                self._connection.execute(self._sql["add_alert"], (seq, at, at + _LEASE))
        for text, parameters in chunked(self._sql["append"], rows):
            self._connection.execute(text, parameters)
        return written
