"""Verify a whole log as its database has it: every record, every leaf, every tile and every checkpoint.

Nothing that the database says about itself is believed: the walk ends where the rows end, and every column is compared
with what the record itself says. Memory does not grow with the log, but for two bits a leaf.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from stepup_middleware.core.events import EventName
from stepup_middleware.core.moments import iso, to_micros
from stepup_middleware.log.records import RECORD, RowMacs
from stepup_middleware.log.stored import StoredRecord
from stepup_middleware.log.tiles import TileId
from stepup_middleware.stores.audit_log import AuditLog

from .assertions import CheckAssertions, HeldAssertions
from .columns import are_texts, fits, why_not
from .findings import LogFinding, LogSummary
from .links import links
from .prompts import Placed, PromptJudge
from .record import read_record_at
from .tree_walk import LOWEST, LOWEST_SMALL, TreeWalk, Walked
from .trust import Trust

_RECORDS = 1000  # read at a time
# how old what is under no checkpoint yet may be: one is signed each minute; and how far ahead the clock that dated it
_TAIL = timedelta(minutes=1, seconds=30)
_MOST_WAITING = 10_000  # records without a leaf that are looked for again at the end
_COMMIT = 10_000_000  # microseconds within which transactions may commit in another order than they took their numbers
_LATE = frozenset({EventName.ACTION_COMPLETED.value})  # may be written long after it happened: the store was away


class TilesOf:
    """The tiles of one log."""

    def __init__(self, log: AuditLog, number: int) -> None:
        self._log = log
        self._number = number

    async def read_tiles(self, tiles: Collection[TileId]) -> Mapping[TileId, bytes]:
        """Return those of the tiles that there are."""
        return await self._log.read_tiles(tiles, log=self._number)


class LogVerifier:
    """One verification of a log. ``summary`` tells how far it came.

    ``now`` is the time of it, aware. ``macs`` are those of the installation, where the auditor has its secret key.
    ``check_assertions`` None leaves events, proofs and the pages of the file out: schema, hashes, tree, columns and
    checkpoints alone. ``settle`` waits as long as the app may take to give a record its leaf.
    """

    def __init__(
        self,
        log: AuditLog,
        trust: Trust,
        *,
        now: datetime,
        macs: RowMacs | None = None,
        check_assertions: CheckAssertions | None = None,
        settle: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.summary = LogSummary()
        self._log = log
        self._trust = trust
        self._now = now
        self._macs = macs
        self._check_assertions = check_assertions
        self._settle = settle
        self._walks: dict[int, Walked] = {}
        self._held = HeldAssertions[StoredRecord](check_assertions)
        self._waiting: dict[str, StoredRecord] = {}
        self._firsts: dict[int, StoredRecord] = {}
        self._last = ((0, -1), 0)  # the leaf that is furthest on, and the time of its record
        self._prompts = PromptJudge(log, today=now, rp_id=trust.rp_id, holds=self._held.hold, summary=self.summary)

    async def run(self, *, told: Callable[[str, int], None] | None = None) -> AsyncIterator[LogFinding]:
        """Yield every finding. ``told`` is called with what is counted, ``leaves`` or ``records``, and how many."""
        async for finding in self._run(told or (lambda what, count: None)):
            self.summary.count(finding)
            yield finding
        # like proofs, the pages of the file take longer than all the rest
        for problem in () if self._check_assertions is None else await self._log.damage():
            finding = LogFinding(where="database", field="pages", problem=f"the file contradicts itself: {problem}")
            self.summary.count(finding)
            yield finding

    async def _run(self, told: Callable[[str, int], None]) -> AsyncIterator[LogFinding]:
        for what, problem in await self._log.altered_schema():
            yield LogFinding(where="schema", field=what, problem=problem)
        number = LOWEST_SMALL
        try:
            trees = await self._log.trees()
        except (TypeError, ValueError) as error:
            trees = ()
            problem = f"has a value that no honest writer gave it: {error}"
            yield LogFinding(where="log", field="trees", problem=problem)
        while (found := await self._log.next_log(number)) is not None:
            if type(found) is not int:  # SQLite takes any value anywhere, and puts texts after all numbers
                yield LogFinding(where="log", field="log", problem=f"a row is of a tree without a number: {found!r}")
                break
            number = found
            state = trees[number - 1] if 0 < number <= len(trees) else None
            walk = TreeWalk(
                self._log, number, state, trust=self._trust, macs=self._macs, today=self._now, summary=self.summary
            )
            try:
                async for finding in walk.run():
                    yield finding
            except (TypeError, ValueError) as error:
                problem = f"a row has a value that no honest writer gave it: {error}"
                yield LogFinding(where=f"log {number}", field="trees, leaves, tiles or checkpoints", problem=problem)
            told("leaves", self.summary.leaves)
            self._walks[number] = walk.walked
            self.summary.origins.append(walk.walked.origin or "")
        try:
            async for finding in self._records(told):
                yield finding
        except TypeError as error:
            problem = f"a row has a value that no honest writer gave it: {error}"
            yield LogFinding(where="log", field="audit", problem=problem)
        tiles = {number: TilesOf(self._log, number) for number in self._walks}
        async for finding in links(self._walks, self._firsts, tiles, self._trust):
            yield finding
        for walked in self._walks.values():
            async for finding in self._missing(walked):
                yield finding
        async for finding in self._still_waiting():
            yield finding
        for finding in self._conclusions():
            yield finding

    # records

    async def _records(self, told: Callable[[str, int], None]) -> AsyncIterator[LogFinding]:
        after = LOWEST
        while batch := await self._log.stored_records(after=after, limit=_RECORDS):
            after = batch[-1].seq
            for row in batch:
                for finding in self._record(row):
                    yield finding
                if self._check_assertions is not None:
                    async for finding in self._event(row):
                        yield finding
            self.summary.records += len(batch)
            told("records", self.summary.records)
            async for finding in self._proved():
                yield finding

    def _record(self, row: StoredRecord) -> Sequence[LogFinding]:
        """Compare a record with its entry, its leaf and its columns."""
        place = self._place(row)
        return place if fits(row) else [*why_not(row), *place]

    def _place(self, row: StoredRecord) -> Sequence[LogFinding]:
        """Compare a record with its place in the tree, and its MAC."""
        found: list[LogFinding] = []

        def wrong(field: str, problem: str, *, unverifiable: bool = False) -> None:
            where = f"seq {row.seq}"
            finding = LogFinding(
                where=where, field=field, problem=problem, unverifiable=unverifiable, record_id=str(row.id)
            )
            found.append(finding)

        if self._macs is not None:
            mac = row.mac if isinstance(row.mac, bytes) else None
            if not self._macs.holds(RECORD, {"id": str(row.id), "entry": str(row.entry)}, mac):
                if row.leaf is None or mac is None or self._macs.has_key_of(mac):
                    wrong("mac", "is no MAC of this installation over id and entry: somebody else wrote or altered it")
                else:
                    wrong("mac", "was made with a key that was not given", unverifiable=True)
        if row.leaf is None:
            if row.refused is not None:
                wrong(
                    "refused", f"the record was refused a leaf ({row.refused}): the app did not write it as it stands"
                )
            elif len(self._waiting) < _MOST_WAITING:
                self._waiting[str(row.id)] = row
            return found
        walked = self._walks.get(row.leaf.log)
        if walked is None or not 0 <= row.leaf.index < walked.size:
            return found  # it has got its leaf since the tree was walked, or none of this tree: the walk has said so
        walked.seen.add(row.leaf.index)
        if row.leaf.index == 0:
            self._firsts[row.leaf.log] = row
        place = (row.leaf.log, row.leaf.index)
        if row.leaf.index == 0 and row.event == EventName.LOG_BEGUN.value:
            pass  # it comes before the records that waited for their leaf when the log before was stopped
        elif place > self._last[0]:
            self._last = (place, row.at)
        elif row.refused is None and abs(row.at - self._last[1]) > _COMMIT:
            wrong("seq", "the order of serial numbers is not that of the leaves: a record was moved")
        if row.leaf.index in walked.early and row.event not in _LATE:
            wrong("at", walked.early[row.leaf.index])
        return found

    # events and proofs

    async def _event(self, row: StoredRecord) -> AsyncIterator[LogFinding]:
        read = read_record_at("", row.entry, row.body) if are_texts(row.body, row.entry) else None
        if read is None or read.event is None:
            for finding in why_not(row) if fits(row) else ():
                yield finding
            return
        place = None if row.leaf is None else (row.leaf.log, row.leaf.index)
        self._held.judged = row
        async for finding in self._prompts.judge(Placed(replace(read.event, seq=row.seq, id=row.id), place)):
            yield finding

    async def _proved(self) -> AsyncIterator[LogFinding]:
        for record in await self._held.wrong():
            yield LogFinding(
                where=f"seq {record.seq}",
                field="body.data.proof.signature",
                problem="does not verify under public_key over authenticator_data and client_data_json",
                record_id=record.id,
            )

    # what is not there

    async def _missing(self, walked: Walked) -> AsyncIterator[LogFinding]:
        """Yield the leaves whose bodies are gone before their time."""
        for index in walked.seen.absent(walked.size):
            if index in walked.over:
                self.summary.purged += 1
                continue
            leaf = (await self._log.leaves(first=index, limit=1, log=walked.number))[:1]
            yield LogFinding(
                where=f"leaf {index}" if walked.number == 1 else f"log {walked.number} leaf {index}",
                field="record_id",
                problem="its record is gone, and was to be kept: no purge took it",
                record_id=leaf[0].record_id if leaf else None,
            )

    async def _still_waiting(self) -> AsyncIterator[LogFinding]:
        """Yield the records that have no leaf, though the app had time to give them one."""
        if self._waiting and self._settle is not None:
            await self._settle()
        ids = list(self._waiting)
        for first in range(0, len(ids), _RECORDS):
            for id_ in await self._log.leaves_of(ids[first : first + _RECORDS]):
                self._waiting.pop(id_, None)
        self.summary.waiting = len(self._waiting)
        earliest, latest = (to_micros(self._now + late) for late in (-_TAIL, _TAIL))
        for row in self._waiting.values():
            if self._macs is None or type(row.at) is not int or not earliest <= row.at <= latest:
                problem = "the record has no leaf: the app does not run, or somebody else wrote it"
                yield LogFinding(
                    where=f"seq {row.seq}", field="leaf", problem=problem, unverifiable=True, record_id=row.id
                )

    def _conclusions(self) -> Sequence[LogFinding]:
        """Return what cannot be told for want of keys and checkpoints."""
        found: list[LogFinding] = []

        def untold(where: str, field: str, problem: str) -> None:
            found.append(LogFinding(where=where, field=field, problem=problem, unverifiable=True))

        origins = {walked.origin for walked in self._walks.values()}
        if not self._trust.log_keys and not any(map(self._trust.of_log, origins)):
            untold("log", "vkey", "no trusted vkey of the log was given: nothing tells who signed the checkpoints")
        elif self.summary.leaves and not self.summary.checkpoints:
            problem = "the database has no checkpoint: nothing was signed yet, or all were taken away"
            untold("log", "checkpoints", problem)
        if not self._trust.checkpoints:
            problem = "no checkpoint from outside the database was given: an older copy of it would look like this one"
            untold("log", "checkpoint", problem)
        for kept in self._trust.checkpoints:
            if kept.origin not in origins:
                problem = f"is of the log {kept.origin}, which this database does not have"
                found.append(LogFinding(where=f"kept checkpoint {kept.size}", field="origin", problem=problem))
        earliest, latest = (iso(self._now + late)[:19] for late in (-_TAIL, _TAIL))
        for walked in self._walks.values():
            where = f"leaf {walked.covered}" if walked.number == 1 else f"log {walked.number} leaf {walked.covered}"
            problem = f"{walked.size - walked.covered} leaves, from {walked.covered} on, are under no checkpoint"
            if walked.tail_from and walked.tail_from < earliest:
                untold(where, "checkpoint", f"{problem} that a trusted key signed")
            if walked.tail_until > latest:
                untold(where, "entry", f"{problem}, and one of them says that it was written at {walked.tail_until}")
        return found
