"""The writing end of the audit log: gives each event its place in the chains of this writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stepup_middleware.core.chain import GENESIS, chain_name, leaf_hash, link_hash
from stepup_middleware.core.moments import span_micros
from stepup_middleware.core.retention import ALERT_LEASE
from stepup_middleware.stores.sql.transaction import NewRecord
from stepup_middleware.stores.subscribers import Written

if TYPE_CHECKING:
    from asyncpg import Connection

_LEASE = span_micros(ALERT_LEASE)


def indexed(text: str) -> str:
    """Return a text as a column can hold it; the body, which is the truth, escapes what it cannot."""
    return text.replace("\0", "\ufffd")


class Log:
    """Writes the events of a batch with one statement, and remembers the heads of its chains.

    No other process writes chains of this writer. Should one all the same (a writer name used twice, a
    commit that took effect after it was given up), the unique index over chain and link refuses the
    batch, and the chain stays whole.
    """

    def __init__(self, sql: Mapping[str, str], writer: str) -> None:
        self._sql = sql
        self._writer = writer
        self._names: dict[int, str] = {}
        self._heads: dict[str, tuple[int, bytes]] = {}

    def forget(self) -> None:
        """Drop what is remembered: a transaction was rolled back, or nobody knows."""
        self._heads.clear()

    def _name(self, years: int) -> str:
        name = self._names.get(years)
        if name is None:
            name = self._names[years] = chain_name(self._writer, years)
        return name

    async def write(self, connection: Connection[Any], entries: Sequence[NewRecord]) -> list[Written]:
        """Link entries to their chains and insert them. Returns their sequence numbers, in their order."""
        names = {self._name(entry.retention_years) for entry in entries}
        unknown = [name for name in names if name not in self._heads]
        if unknown:
            for name, link, hash_ in await connection.fetch(self._sql["heads_of"], unknown):
                self._heads[name] = (link, hash_ or GENESIS)
        columns: tuple[list[Any], ...] = tuple([] for _ in range(16))
        ids, texts, macs, chains, links, before, hashes, workspaces, subjects, events, outcomes, *rest = columns
        purposes, prompts, tokens, times, bodies = rest
        for entry in entries:
            sealed, at, years, workspace, subject, event, outcome, purpose, prompt, token, *_ = entry
            chain = self._names[years]
            link, previous = self._heads[chain]
            link += 1
            hash_ = link_hash(chain, link, previous, leaf_hash(sealed.body))
            self._heads[chain] = (link, hash_)
            ids.append(sealed.id)
            texts.append(sealed.entry)
            macs.append(sealed.mac)
            chains.append(chain)
            links.append(link)
            before.append(previous)
            hashes.append(hash_)
            workspaces.append(indexed(workspace))
            subjects.append(indexed(subject))
            events.append(event)
            outcomes.append(outcome)
            purposes.append(indexed(purpose))
            prompts.append(indexed(prompt))
            tokens.append(token)
            times.append(at)
            bodies.append(sealed.body)
        rows = await connection.fetch(self._sql["append"], *columns)
        for row, entry in zip(rows, entries, strict=True):
            if entry.alerts:
                await connection.execute(self._sql["add_alert"], row[0], entry.at, entry.at + _LEASE)
        return [(row[0], entry.make) for row, entry in zip(rows, entries, strict=True)]
