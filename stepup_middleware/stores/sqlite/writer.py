"""Group commit: one thread drains what callers hand over into one durable transaction after another."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, TypeVar

from stepup_middleware.core.audit import Load
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.log.records import RowMacs
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.deadlines import Deadlines, expire
from stepup_middleware.stores.sealing import Tampered
from stepup_middleware.stores.sql.operations import BatchVerb, Operation, by_verb
from stepup_middleware.stores.subscribers import Subscribers, Written

from .database import Database, DatabaseFingerprint, Identity
from .transaction import SQLiteTransaction

logger = get_logger("stepup_middleware.stores.sqlite")

T = TypeVar("T")
E = TypeVar("E")
A = TypeVar("A")
Answer = tuple[Operation, Any, BaseException | None]

MOST_TOGETHER = 512  # operations in one transaction
MOST_WAITING = 10_000  # operations that nobody has begun
MOST_SOON = 10_000  # events handed over without a waiter
SOON_SECONDS = 0.05  # how long such an event waits for company

# Errors that say nothing about the one operation that met them: the batch cannot be saved by splitting it.
_SHARED_FAULTS = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


class Writer:
    """The writing thread of one store in one process.

    ``open_database`` is called in the thread, with what is known of the database that was open
    before, at first ``known``. ``subscribers`` is told, in the thread, whenever the log has grown.
    """

    def __init__(
        self,
        open_database: Callable[[DatabaseFingerprint | None], Database],
        subscribers: Subscribers,
        *,
        macs: RowMacs | None,
        known: DatabaseFingerprint | None = None,
        seconds: float,
    ) -> None:
        self._macs = macs
        self._open_database = open_database
        self._subscribers = subscribers
        self._seconds = seconds
        self._queue: SimpleQueue[Operation | None] = SimpleQueue()
        self._soon: deque[AuditEvent] = deque()
        self._woken = False
        self._closing = False
        self._ended = threading.Event()
        self._database: Database | None = None
        self.known = known
        self._deadlines: dict[asyncio.AbstractEventLoop, Deadlines] = {}
        self._done = self._transactions = 0
        self._gate = threading.Lock()  # held while the connection is in use; a fork waits for it
        self._thread = threading.Thread(target=self._serve, name="stepup-sqlite-writer", daemon=True)
        self._thread.start()

    @property
    def identity(self) -> Identity | None:
        """The file that was last written, None when it is not open."""
        database = self._database
        return None if database is None else database.identity

    @property
    def load(self) -> Load:
        """How much there is to do, and was done."""
        return Load(waiting=self._queue.qsize() + len(self._soon), done=self._done, transactions=self._transactions)

    async def perform(
        self, verb: BatchVerb[E, A], entry: E, late: Callable[[A], None] | None = None, *, seconds: float | None = None
    ) -> A:
        """Hand over an entry of a verb and wait for its answer until that is durable: see ``sql.engine.Writer``."""
        if self._closing:
            raise StoreError("the store is closed")
        if self._queue.qsize() >= MOST_WAITING:
            raise StoreError("too many operations wait for the database")
        operation = Operation(verb, entry, late)
        self._queue.put(operation)
        timer = None
        if seconds is None:
            if operation.loop not in self._deadlines:
                self._deadlines[operation.loop] = Deadlines(operation.loop, self._seconds)
            self._deadlines[operation.loop].watch(operation.future)
        else:
            timer = operation.loop.call_later(seconds, expire, operation.future)
        try:
            answer: A = await operation.answer()
            return answer
        finally:
            if timer is not None:
                timer.cancel()

    def append_soon(self, event: AuditEvent) -> None:
        """Hand over an event for the next batch, or one of its own a moment later."""
        if self._ended.is_set() or len(self._soon) >= MOST_SOON:
            self._subscribers.gave_up([event], "nobody can take it")
            return
        self._soon.append(event)
        if not self._woken:
            self._woken = True
            self._queue.put(None)

    def close(self, seconds: float) -> None:
        """Finish what was handed over, close, and wait for it at most so long. Blocks: call it in a thread."""
        self._closing = True
        self._queue.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            logger.error("the database did not take what was left within %s s", seconds)

    def suspend(self, seconds: float) -> bool:
        """Close the connection and keep it closed until ``resume``; False when that took too long.

        SQLite's locks do not survive a fork in one piece: what is open in the parent must be closed before.
        """
        if not self._gate.acquire(timeout=seconds):
            return False
        self._drop()
        return True

    def resume(self) -> None:
        """Let the thread go on; it opens the database again when it is next needed."""
        self._gate.release()

    def _serve(self) -> None:
        try:
            while True:
                taken = self._take()
                if taken or self._soon:
                    self._write(taken)
                elif self._closing and self._queue.empty():
                    break
        finally:
            self._ended.set()
            with self._gate:
                self._drop()

    def _take(self) -> list[Operation]:
        """Return what waits, at least one operation unless only events do or the end has come."""
        taken: list[Operation] = []
        first = self._queue.get()
        deadline = monotonic() + SOON_SECONDS
        while first is None and not self._closing:
            try:
                first = self._queue.get(timeout=max(0.0, deadline - monotonic()))
            except Empty:
                break
        while True:
            # an operation that was cancelled or timed out before it was begun never happens
            if first is not None and not first.future.done():
                taken.append(first)
                if len(taken) >= MOST_TOGETHER:
                    break
            try:
                first = self._queue.get_nowait()
            except Empty:
                break
        return taken

    def _write(self, operations: list[Operation]) -> None:
        self._woken = False
        events = [self._soon.popleft() for _ in range(len(self._soon))]
        try:
            answers = self._attempt(operations, events)
        except Exception as error:
            answers = [(operation, None, error) for operation in operations]
            if events:
                self._subscribers.gave_up(events, error)
        _resolve(answers)

    def _attempt(self, operations: list[Operation], events: list[AuditEvent]) -> list[Answer]:
        """Run everything in one transaction; if something in it fails, each in one of its own."""
        try:
            return self._transact(operations, events)
        except _OneFailed as failure:
            if len(operations) + len(events) == 1:
                if events:
                    self._subscribers.gave_up(events, failure.error)
                return [(operation, None, failure.error) for operation in operations]
        answers: list[Answer] = []
        for operation in operations:
            answers += self._alone([operation], [])
        for event in events:
            self._alone([], [event])
        return answers

    def _alone(self, operations: list[Operation], events: list[AuditEvent]) -> list[Answer]:
        try:
            return self._attempt(operations, events)
        except Exception as error:
            if events:
                self._subscribers.gave_up(events, error)
            return [(operation, None, error) for operation in operations]

    def _transact(self, operations: list[Operation], events: list[AuditEvent]) -> list[Answer]:
        with self._gate:
            try:
                database = self._database
                if database is None:
                    database = self._database = self._open_database(self.known)
                    self.known = database.fingerprint
                with database.write_lock:
                    answers, written = self._batch(database, operations, events)
                self.known = database.fingerprint
                self._done += len(operations) + len(events)
                self._transactions += 1
            except _OneFailed:
                raise
            except BaseException as error:
                if not _spares_connection(error):
                    self._drop()  # a fault of the connection must not fail the next batch
                raise
        if database.log.intruder is not None:
            self._subscribers.met([Tampered("audit", str(database.log.intruder), "", "")])
            database.log.intruder = None
        if written:
            self._subscribers.publish(written)
        return answers

    def _batch(
        self, database: Database, operations: list[Operation], events: list[AuditEvent]
    ) -> tuple[list[Answer], list[Written]]:
        try:
            database.begin()
            try:
                transaction = SQLiteTransaction(database.connection, database.sql, database.batch, self._macs)
                answers = self._run(transaction, operations)
                self._subscribers.met(transaction.tampered)
                for event in events:
                    transaction.append(event)
                written = database.log.write(transaction.records) if transaction.records else []
            except sqlite3.Error as error:
                if _code(error) in _SHARED_FAULTS:
                    raise
                raise _OneFailed(error) from error
            except Exception as error:
                raise _OneFailed(error) from error
            database.commit()
        except BaseException:
            database.roll_back()
            raise
        return answers, written

    @staticmethod
    def _run(transaction: SQLiteTransaction, operations: list[Operation]) -> list[Answer]:
        answers: list[Answer] = []
        for verb, share in by_verb(operations):
            for group in [share] if verb.alone is None else [[operation] for operation in share]:
                results: Sequence[Any] = _run_to_end(verb.run(transaction, [operation.entry for operation in group]))
                answers += [(operation, result, None) for operation, result in zip(group, results, strict=True)]
        return answers

    def _drop(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()


def _run_to_end(verb: Coroutine[Any, Any, T]) -> T:
    """Run a verb whose every wait is a method of ``SQLiteTransaction``, and so is over at once."""
    try:
        verb.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    verb.close()
    raise StoreError("a verb of the store waited for something else than the database")


class _OneFailed(Exception):
    """An operation failed by itself, not because the database cannot be used."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _spares_connection(error: BaseException) -> bool:
    """Whether the connection is as good as before once the transaction is rolled back."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)


def _code(error: BaseException) -> int:
    """Return SQLite's primary result code, 0 for an error that has none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _resolve(answers: Sequence[Answer]) -> None:
    """Hand answers to their event loops, one call a loop. Called in the writer's thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for answer in answers:
        by_loop.setdefault(answer[0].loop, []).append(answer)
    for loop, share in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, share)
        except RuntimeError:  # the loop is closed: nobody waits there any more
            for operation, result, error in share:
                if error is None and operation.late is not None:
                    operation.late(result)


def _deliver(answers: Sequence[Answer]) -> None:
    for operation, result, error in answers:
        if error is None:
            operation.succeed(result)
        else:
            operation.fail(_as_store_error(error))


def _as_store_error(error: BaseException) -> Exception:
    """Return the error that leaves the store for one that was met inside it."""
    text = str(error)
    if not isinstance(error, StoreError | ConfigurationError):
        name = getattr(error, "sqlite_errorname", "")  # tells the kinds of a "disk I/O error" apart
        text = f"the database cannot be used: {type(error).__name__}: {text}{name and f' ({name})'}"
    wrapped = StoreError(text)
    wrapped.__cause__ = error
    return wrapped
