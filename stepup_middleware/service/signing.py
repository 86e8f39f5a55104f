"""Signs checkpoints of the log's tree: each minute if it grew, when the app stops, and when evidence is asked for.

Nothing is ever signed that is not grown from all that was signed before. So the last checkpoints that exist outside the
database are compared first: in this process's memory, with the sinks that can be asked, with the witnesses. Where the
database is behind them or other, the alarm is raised, and nothing more is signed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from stepup_middleware.errors import StoreError
from stepup_middleware.log.checkpoints import Checkpoint, checkpoint_of, read_checkpoint
from stepup_middleware.log.integrator import Fault
from stepup_middleware.log.keys import SigningKey, VerifierKey, sign_checkpoint, verify_note
from stepup_middleware.log.merkle import is_consistent
from stepup_middleware.log.notes import Note, NoteError, read_note
from stepup_middleware.log.stored import StoredCheckpoint
from stepup_middleware.log.tiles import TileError, prove_consistency
from stepup_middleware.log.witness.client import Outcome, WitnessGroup
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.records import Records

from .handover import CheckpointSink, Handover
from .integrating import Integration
from .tampering import TamperAlarm

logger = get_logger("stepup_middleware")

INTERVAL_SECONDS = 60.0
CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStatus:
    """How the audit log is, for a health page and metrics.

    ``leaves``: how many records have their leaf. ``fault``: why nothing is signed, empty where all is well.
    ``signed_leaves``: those of the last checkpoint that this process knows, its own or another's. ``signed_at``: when
    it last found the whole log under one, None where it never did; ``watched_from``: since when it looks. ``cosigned``:
    how many witnesses cosigned that checkpoint, and ``quorum``, how many should have. ``untaken``: how many of
    ``on_checkpoint`` have not taken it.
    """

    leaves: int
    fault: str
    signed_leaves: int = 0
    signed_at: datetime | None = None
    watched_from: datetime | None = None
    cosigned: int = 0
    quorum: int = 0
    untaken: int = 0

    @property
    def has_quorum(self) -> bool:
        """Whether as many witnesses cosigned the last checkpoint as should; True where none is known yet."""
        return self.signed_at is None or self.cosigned >= self.quorum


class _Kept(NamedTuple):
    """The last checkpoint that the database has, read: its row, its note, and what the note says."""

    stored: StoredCheckpoint
    note: Note
    checkpoint: Checkpoint


class CheckpointSigner:
    """Signs for one log with its ``keys``, the first of which names it."""

    def __init__(
        self,
        *,
        store: Records,
        integration: Integration,
        keys: Sequence[SigningKey],
        clock: Callable[[], datetime],
        sinks: Sequence[CheckpointSink],
        witnesses: WitnessGroup,
        alarm: TamperAlarm,
    ) -> None:
        self._store = store
        self._integration = integration
        self._signing = tuple(keys)
        self._clock = clock
        self._handover = Handover(sinks)
        self._witnesses = witnesses
        self._alarm = alarm
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._newest: StoredCheckpoint | None = None
        self._last: Checkpoint | None = None  # signed here, or seen where it is kept
        self._has_compared = False
        self._signed_at: datetime | None = None
        self._watched_from: datetime | None = None
        self._cosigned = 0

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """The public keys of the log."""
        return tuple(key.verifier for key in self._signing)

    @property
    def status(self) -> LogStatus:
        """How it goes."""
        return LogStatus(
            leaves=self._integration.seen.size,
            fault=str(self._integration.fault or ""),
            signed_leaves=0 if self._newest is None else self._newest.size,
            signed_at=self._signed_at,
            watched_from=self._watched_from,
            cosigned=self._cosigned,
            quorum=self._witnesses.quorum,
            untaken=self._handover.untaken,
        )

    def start(self) -> None:
        """Start on the running loop."""
        self._lock = asyncio.Lock()
        self._handover.start()
        self._watched_from = self._clock()
        self._task = asyncio.create_task(self._serve(), name="stepup-checkpoints")

    async def close(self) -> None:
        """Sign what the log has now, give sinks and witnesses a few seconds, and stop. Never raises for a store."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._try_to_sign()
        await self._handover.close(seconds=CLOSE_SECONDS)

    async def checkpoint_for(self, size: int) -> StoredCheckpoint | None:
        """Return a checkpoint of a tree that has ``size`` leaves or more: the newest that was signed, or a new one.

        None where nothing may be signed, or the tree is not that large. Raises ``StoreError``.
        """
        newest = self._newest
        if newest is None or newest.size < size:
            newest = await self.sign()
        return newest if newest is not None and newest.size >= size else None

    async def sign(self) -> StoredCheckpoint | None:
        """Sign the tree as it is now, unless that was done and as many witnesses cosigned as should.

        Returns the checkpoint of it.

        None where there is nothing to sign, and where nothing may be signed. Raises ``StoreError``.
        """
        async with self._lock:
            if not await self._compare() or await self._integration.catch_up() is not None:
                return None
            kept = await self._kept()
            if await self._integration.check() is not None:  # read after what is kept: it covers that, or is behind it
                return None
            tree, number = self._integration.seen, len(await self._store.trees())
            checkpoint = Checkpoint(self._integration.origin, tree.size, tree.root)
            if kept is not None and kept.checkpoint == checkpoint:
                self._take_over(kept)
                if self._cosigned >= self._witnesses.quorum:
                    return self._newest
            if not checkpoint.size:
                return self._newest
            before = kept.stored.note if kept is not None and kept.checkpoint == checkpoint else None
            return await self._sign(number, checkpoint, before)  # or once more: a witness that was away may be back

    def sign_statement(self, statement: Checkpoint) -> Note:
        """Return a statement that is no checkpoint of a log, such as the claim of an export, signed by the log's keys.

        Its origin is none that a log has, so nobody takes it for a tree of one.
        """
        return sign_checkpoint(statement, self._signing, int(self._clock().timestamp()))

    async def compare(self) -> None:
        """Compare the tree with what is known of it outside the database, and tell of what is wrong. Never raises."""
        try:
            async with self._lock:
                await self._compare()
        except StoreError as error:
            logger.warning("the tree was not compared with what was signed, the store cannot be used: %s", error)
        except Exception:
            logger.exception("the tree was not compared with what was signed")

    async def _compare(self) -> bool:
        """Tell whether the tree is the one that was signed, grown, as far as anybody answers who knows."""
        # what was signed is read before the tree, which can only have grown since
        outside, kept = await self._outside(), await self._kept()
        if outside is None or await self._integration.check() is not None:
            return False
        tree = self._integration.seen
        checkpoint = Checkpoint(self._integration.origin, tree.size, tree.root)
        signed = [] if kept is None else [("the database itself", kept.checkpoint)]
        for where, known in (*outside, *signed):
            if (fault := await self._grew(known, checkpoint)) is not None:
                of = f"{where} has a checkpoint of {known.size} leaves, and this tree has {tree.size}"
                self._integration.compared(fault, of)
                return False
        self._integration.compared(None)
        self._has_compared = True
        return True

    async def _sign(self, number: int, checkpoint: Checkpoint, before: str | None) -> StoredCheckpoint | None:
        """Sign, and have cosigned, a checkpoint; cosignatures that it had ``before`` stay with it."""
        now = self._clock()
        note = sign_checkpoint(checkpoint, self._signing, int(now.timestamp()))
        witnessed = await self._witnesses.cosign(note, lambda old: prove_consistency(self._store, old, checkpoint.size))
        for answer in witnessed.alarms:
            # another process may have signed a larger tree meanwhile: then this database has it
            trees = await self._store.trees()
            size = next(one.size for one in self._witnesses.clients if one.witness is answer.witness)
            if answer.outcome is Outcome.LARGER and trees and trees[-1].size >= size:
                continue
            fault = Fault.TREE_SHRANK if answer.outcome is Outcome.LARGER else Fault.TREE_DIFFERS
            self._integration.compared(fault, f"the witness {answer.witness.name} says: {answer.problem}")
            return None
        for answer in witnessed.answers:
            if answer.forgot:
                logger.error("the witness %s forgot what it cosigned: it would cosign a fork", answer.witness.name)
            elif answer.outcome is not Outcome.COSIGNED:
                logger.warning("the witness %s did not cosign: %s", answer.witness.name, answer.problem)
        cosigned = (
            witnessed.note if before is None else self._witnesses.with_those_of(witnessed.note, read_note(before))
        )
        stored = StoredCheckpoint(log=number, size=checkpoint.size, note=str(cosigned))
        await self._store.add_checkpoint(stored)  # where another process was faster, its signatures are as good
        self._newest, self._last = stored, checkpoint
        self._signed_at, self._cosigned = now, self._witnesses.cosigned(cosigned)
        self._handover.give(stored.note)
        return stored

    async def _kept(self) -> _Kept | None:
        """Return the last checkpoint that the database has, if this log signed it."""
        kept = await self._store.last_checkpoint()
        if kept is None:
            return None
        own = self._own(kept.note)
        if own is None or own[1].size != kept.size:
            self._alarm.raise_for(
                ("checkpoint", str(kept.log), str(kept.size)),
                f"the checkpoint of {kept.size} leaves that it has was not signed with the keys of this log; it does "
                "not count",
                reason="checkpoint",
            )
            return None
        return _Kept(kept, *own)

    def _take_over(self, kept: _Kept) -> None:
        """Remember what another process signed of this very tree, or this one before it was started again."""
        cosigned = self._witnesses.cosigned(kept.note)
        if self._newest is None or (self._newest.size, self._cosigned) < (kept.stored.size, cosigned):
            self._newest, self._cosigned = kept.stored, cosigned
            self._handover.give(kept.stored.note)  # who signed it may have died before it was taken
        self._last, self._signed_at = kept.checkpoint, self._clock()

    async def kept_notes(self) -> list[str]:
        """Return the checkpoints that the sinks have, those that can be asked. Raises ``OSError``."""
        return [note for memory in self._handover.memories if (note := await memory.latest()) is not None]

    def _own(self, note: str) -> tuple[Note, Checkpoint] | None:
        """Return a note that this log's keys signed, and its checkpoint; None for any other."""
        try:
            read = read_note(note)
            return (read, read_checkpoint(read.text)) if verify_note(read, self.keys) else None
        except NoteError:
            return None

    async def _grew(self, known: Checkpoint, now: Checkpoint) -> Fault | None:
        """Return why the tree of now is not the known one, grown."""
        if known.size > now.size:
            return Fault.TREE_SHRANK
        if known.size == 0:
            return None
        try:
            proof = await prove_consistency(self._store, known.size, now.size)
        except TileError:
            return Fault.STATE_TILES
        grew = is_consistent(old=known.size, old_root=known.root, size=now.size, root=now.root, proof=proof)
        return None if grew else Fault.TREE_DIFFERS

    async def _outside(self) -> list[tuple[str, Checkpoint]] | None:
        """Return the checkpoints of this log that exist outside the database, each with where.

        None where there are places to ask, none of them answers, and this process has compared with none before.
        """
        found = [] if self._last is None else [("this process", self._last)]
        asked = answered = 0
        for memory in self._handover.memories:
            asked += 1
            try:
                note = await memory.latest()
            except (OSError, UnicodeDecodeError) as error:
                logger.error("%r cannot say which checkpoint it has: %s", memory, error)
                continue
            answered += 1
            checkpoint = None if note is None else self._read_kept(note)
            if note is not None and checkpoint is None:
                logger.error("%r has none that this log signed: nothing is signed until it is put right", memory)
                return None
            if checkpoint is not None and checkpoint.origin == self.keys[0].name:
                found.append((repr(memory), checkpoint))
        answers = await asyncio.gather(
            *(client.latest(self.keys) for client in self._witnesses.clients), return_exceptions=True
        )
        for client, answer in zip(self._witnesses.clients, answers, strict=True):
            asked += 1
            if isinstance(answer, OSError | NoteError):
                logger.warning("the witness %s cannot be asked what it cosigned: %s", client.witness.name, answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                answered += 1
                if answer is not None:
                    found.append((f"the witness {client.witness.name}", answer[0]))
        if asked and not answered and not self._has_compared:
            logger.error("no checkpoint is signed: none of the places that keep them says what was signed last")
            return None
        return found

    def _read_kept(self, note: str) -> Checkpoint | None:
        """Return the checkpoint of a note, None for one that is none, and for one in this log's name by another key."""
        try:
            checkpoint = checkpoint_of(note)
        except NoteError:
            return None
        if checkpoint.origin != self.keys[0].name:
            return checkpoint
        own = self._own(note)
        return None if own is None else own[1]

    async def _try_to_sign(self) -> None:
        try:
            await self.sign()
        except StoreError as error:
            logger.warning("no checkpoint was signed, the store cannot be used: %s", error)
        except Exception:
            logger.exception("no checkpoint was signed")

    async def _serve(self) -> None:
        while True:
            await self._try_to_sign()
            await asyncio.sleep(INTERVAL_SECONDS)
