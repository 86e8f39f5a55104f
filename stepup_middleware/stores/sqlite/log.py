"""The writing end of the audit log: gives each event its place in the log and in its chain."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from stepup_middleware.core.chain import GENESIS, chain_name, leaf_hash, link_hash
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.moments import to_micros
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.waiting import Audience, Written

from .statements import chunked


class Log:
    """Collects the events of a transaction and writes them at its end with one statement.

    Keeps the heads of the chains between transactions. Whoever sees that another process wrote, or that a
    transaction was rolled back, calls ``forget``; a head that is wrong all the same breaks the unique index
    over chain and link, never a chain.
    """

    def __init__(
        self, connection: sqlite3.Connection, sql: Mapping[str, str], database: str, audience: Audience
    ) -> None:
        self._connection = connection
        self._sql = sql
        self._database = database
        self._audience = audience
        self._told: list[Written] = []
        self._names: dict[int, str] = {}
        self._heads: dict[str, tuple[int, bytes]] = {}
        self._pending: list[Row] = []
        self._known = False
        self._high = 0
        self._back = 0
        self.last_seq = 0

    def forget(self) -> None:
        """Drop what is remembered of the log and what waits to be written."""
        self._heads.clear()
        self._pending.clear()
        self._told.clear()
        self._known = False
        self.last_seq = 0

    def _learn(self) -> None:
        read = self._connection.execute
        row = read(self._sql["last_seq"]).fetchone()
        self.last_seq = 0 if row is None else row[0]
        row = read(self._sql["newest"]).fetchone()
        self._high = 0 if row is None else row[1]
        self._back = read(self._sql["read_meta"]).fetchone()[3]
        self._known = True

    def _head(self, chain: str) -> tuple[int, bytes]:
        head = self._connection.execute(self._sql["chain_head"], (chain,)).fetchone()
        if head is None:
            head = self._connection.execute(self._sql["read_chain_start"], (chain,)).fetchone()
        return head or (0, GENESIS)

    def append(self, event: AuditEvent) -> None:
        """Give an event its place. It is written by ``flush``."""
        self.place(
            to_micros(event.at),
            event.retention_years,
            event.body(),
            event.workspace_id,
            event.subject_id,
            event.name.value,
            (event.outcome or event.name.outcome).value,
            event.purpose,
            event.prompt_id,
            lambda: event,
        )

    def told(self) -> list[Written]:
        """Return what subscribers are to hear of the transaction that was just committed."""
        told, self._told = self._told, []
        return told

    def place(
        self,
        at: int,
        retention_years: int,
        body: str,
        workspace: str,
        subject: str,
        event: str,
        outcome: str,
        purpose: str,
        prompt: str,
        event_made: Callable[[], AuditEvent],
    ) -> None:
        """Give the canonical text of an event its place.

        What is between the text and ``event_made`` is what the log is indexed by; ``event_made`` returns
        the event itself, for subscribers.
        """
        if not self._known:
            self._learn()
        chain = self._names.get(retention_years)
        if chain is None:
            chain = self._names[retention_years] = chain_name(self._database, retention_years)
        head = self._heads.get(chain)
        link, previous = self._head(chain) if head is None else head
        link += 1
        hash_ = link_hash(chain, link, previous, leaf_hash(body))
        if at >= self._high:
            self._high = at
        elif self._high - at > self._back:
            self._back = self._high - at
            self._connection.execute(self._sql["set_back"], (self._back,))
        self.last_seq += 1
        self._heads[chain] = (link, hash_)
        if self._audience.wanted:
            self._told.append((self.last_seq, event_made))
        self._pending.append(
            (
                self.last_seq,
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
                at,
                self._high,
                body,
            )
        )

    def flush(self) -> None:
        """Write what was appended."""
        if self._pending:
            for text, parameters in chunked(self._sql["append"], self._pending):
                self._connection.execute(text, parameters)
            self._pending.clear()
