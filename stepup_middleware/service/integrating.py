"""Gives every record its leaf soon after it was written, so that what is signed covers it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from stepup_middleware.core.canonical import storable
from stepup_middleware.errors import StoreError
from stepup_middleware.log.integrator import BATCH, Fault, SeenTree, Step, check_tree
from stepup_middleware.log.records import RowMacs
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.records import Records

from .tampering import TamperAlarm

logger = get_logger("stepup_middleware")

GATHER_SECONDS = 0.1  # how long records are gathered for one step; the time that the step before took is of it
LOOK_SECONDS = 30.0  # how often it looks without having been told of a record
PAUSE_SECONDS = 1.0  # after a store that is down, or a tree that is not as it was
_MOST_NAMED = 20  # records in one alarm

_TAKE_AWAY = (
    "no record gets its leaf, and nothing more is signed. Find out who did it; stepup audit verify names those leaves: "
    "have the owner of the schema take them away"
)
_WHAT_TO_DO = (
    "nothing more is signed. Find out who did it; put the database right, or begin a new log from here: "
    "stepup audit new-log"
)


class Integration:
    """Takes the steps of ``log.integrator`` in this process; the store sees to it that one process has each.

    ``origin`` is the name of the log; where no key ``is_named`` after it, the tree that is there may have another.
    ``seen`` is the tree as this process saw it last: what the database has must have grown from there, or ``fault``
    says what is wrong and nothing may be signed.
    """

    def __init__(self, *, store: Records, origin: str, is_named: bool, macs: RowMacs, alarm: TamperAlarm) -> None:
        self.origin: str = origin
        self.seen: SeenTree = SeenTree()
        self._fault: Fault | None = None
        self._fault_outside: Fault | None = None
        self._is_named = is_named
        self._store = store
        self._macs = macs
        self._alarm = alarm
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def fault(self) -> Fault | None:
        """What is wrong with the tree: by itself, or with what is known of it outside the database."""
        return self._fault or self._fault_outside

    def start(self, first: Callable[[], Awaitable[None]] | None = None) -> None:
        """Start on the running loop, after ``first``: a tree that is not the one that was signed shall not grow."""
        self._lock = asyncio.Lock()
        self._task = asyncio.create_task(self._serve(first), name="stepup-integration")

    async def close(self) -> None:
        """Give the records their leaves that have none, and stop. Never raises for a store that is down."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            await self.catch_up()
        except StoreError as error:
            logger.warning("the last records have no leaf yet, the next start gives them theirs: %s", error)

    async def catch_up(self) -> Fault | None:
        """Give every record that was written by now its leaf. Returns what is wrong with the tree, if anything is.

        Raises ``StoreError``.
        """
        async with self._lock:
            if not self._is_named:
                trees = await self._store.trees()
                self.origin, self._is_named = (trees[-1].origin if trees else self.origin), True
            if self.fault is not None and await self._check() is not None:
                return self.fault
            more = self.fault is None
            while more:
                step, self.seen = await self._store.integrate(origin=self.origin, seen=self.seen)
                self._tell(step)
                more = self.fault is None and len(step.indexes) + len(step.refused) >= BATCH
            return self._fault

    async def check(self) -> Fault | None:
        """Look whether the tree that the database has now is the one that was seen, grown. Raises ``StoreError``.

        A step looks at this first; here it is for a moment in which there is nothing to write.
        """
        async with self._lock:
            return await self._check()

    async def _check(self) -> Fault | None:
        trees = await self._store.trees()
        state = trees[-1] if trees else None
        found = await check_tree(self._store, state, origin=self.origin, seen=self.seen, macs=self._macs)
        if isinstance(found, Fault):
            self._found(found)
        else:
            if self._fault is not None:
                self._alarm.is_over(("tree", self._fault.name))
                logger.warning("the tree of the audit log holds again")
                self._fault = None
            if state is not None:
                self.seen = SeenTree(state.size, state.root)
        return self._fault

    def _found(self, fault: Fault) -> None:
        self._fault = fault
        what_to_do = _TAKE_AWAY if fault is Fault.LEAVES_AHEAD else _WHAT_TO_DO
        self._alarm.raise_for(("tree", fault.name), f"{fault}; {what_to_do}", reason=fault.name.lower())

    def compared(self, fault: Fault | None, where: str = "") -> None:
        """Take note of how the tree compares with what is known of it outside the database.

        ``where`` says with what. While that is wrong, the tree does not grow.
        """
        key = ("tree outside",)
        if fault is not None:
            self._alarm.raise_for(key, f"{fault}: {where}; {_WHAT_TO_DO}", reason=fault.name.lower())
        elif self._fault_outside is not None:
            self._alarm.is_over(key)
            logger.warning("the tree of the audit log is again the one that was signed")
        self._fault_outside = fault

    def _tell(self, step: Step) -> None:
        if step.alarm is not None:
            self._found(step.alarm)
        if step.refused:
            first = next(iter(step.refused.values()))
            records = [storable(str(id_)) for id_ in step.refused]
            faults = sorted({fault.name.lower() for fault in step.refused.values()})
            self._alarm.raise_for(
                ("records", *records),
                f"{len(records)} record(s) of the audit log have no leaf and count as forged, the first is "
                f"{records[0]}: {first}",
                reason=faults[0],
                data={"records": records[:_MOST_NAMED], "count": len(records)},
            )

    async def _serve(self, first: Callable[[], Awaitable[None]] | None) -> None:
        down = False
        if first is not None:
            await first()
        loop = asyncio.get_running_loop()
        while True:
            took, began = 0.0, loop.time()
            try:
                settled = await self._store.last_seq()
                faulty = await self.catch_up() is not None
                took, down = loop.time() - began, False
                if not faulty:
                    await self._store.wait_for_audit(settled, seconds=LOOK_SECONDS)
            except StoreError as error:
                faulty = True
                if not down:
                    logger.warning("records get their leaves when the store is back: %s", error)
                down = True
            except Exception:
                faulty = True
                logger.exception("records did not get their leaves")
            # what was written while a step was taken has waited for so long: the next one comes the sooner
            await asyncio.sleep(PAUSE_SECONDS if faulty else max(0.0, GATHER_SECONDS - took))
