"""How an installation is: whether a redemption can be made durable now, and what is late, alarmed or lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from stepup_middleware.core.audit import Backlog, Load
from stepup_middleware.errors import StoreError
from stepup_middleware.logged import get_logger

from .approval_watch import ApprovalWatch
from .audit import AuditService
from .integrating import Integration
from .signing import INTERVAL_SECONDS, CheckpointSigner, LogStatus
from .sinks import Dispatcher
from .spool import EventSpool

if TYPE_CHECKING:
    from stepup_middleware.stores.base import HotState

logger = get_logger("stepup_middleware")

AT_MOST_EVERY = 1.0  # seconds between two writes
COUNTED = 10_000  # records without a leaf, alerts
BEHIND = timedelta(seconds=10)  # a leaf that is later than that is late
CHECKPOINT_LATE = timedelta(seconds=3 * INTERVAL_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an installation is, as one of its processes sees it ``at`` a moment (UTC).

    ``fault`` is why no action can be authorized now, empty where one can: something was just written, durably,
    and no request has been refused for want of the store since one was served.
    ``log`` tells of the audit log; ``unsigned_for`` how long ago this process last found all of it under a checkpoint
    (or began to look), None where it is. ``backlog`` is what waits in the store, as it last told, ``behind`` the age of
    the oldest record there that waits for its leaf. ``load`` is what waits in this process for the store.
    ``failing_sinks`` are those of ``on_event`` and ``notify`` that failed when last called. ``queued`` events wait for
    a sink; ``dropped`` ones did not reach one that is too slow (the log has them). ``followers`` are open streams of
    events. ``approvals_awaited`` is how many programs and pages wait for an approval. ``spooled`` events wait for the
    store to be back, ``lost`` ones are in no log.
    """

    at: datetime
    fault: str
    log: LogStatus
    backlog: Backlog
    load: Load
    behind: timedelta
    unsigned_for: timedelta | None
    failing_sinks: tuple[str, ...]
    dropped: int
    queued: int
    followers: int
    approvals_awaited: int
    spooled: int
    lost: int

    @property
    def is_ready(self) -> bool:
        """Whether an action can be authorized now."""
        return not self.fault

    @property
    def warnings(self) -> tuple[str, ...]:
        """What somebody should look at though the app serves, in words of one line each; none where all is well."""
        backlog, log, unsigned = self.backlog, self.log, self.unsigned_for or timedelta(0)
        told = (
            (bool(log.fault), f"the audit log: {log.fault}"),
            (self.behind > BEHIND, f"the oldest record without a leaf is {_seconds(self.behind)} old"),
            (unsigned > CHECKPOINT_LATE, f"for {_seconds(unsigned)} no checkpoint has covered the whole log"),
            (not log.has_quorum, f"{log.cosigned} of {log.quorum} witnesses cosigned the last checkpoint"),
            (log.untaken > 0, f"{log.untaken} of on_checkpoint did not take the last checkpoint"),
            (bool(self.failing_sinks), "sinks that fail: " + ", ".join(self.failing_sinks)),
            *((n > 0, f"{n} {of.value}(s) did not reach every sink") for of, n in backlog.undelivered.items()),
            (self.dropped > 0, f"{self.dropped} event(s) did not reach a sink that is too slow"),
            (self.spooled > 0, f"{self.spooled} event(s) wait for the store"),
            (self.lost > 0, f"{self.lost} event(s) are lost"),
        )
        return tuple(words for is_so, words in told if is_so)


class HealthService:
    """Looks how the parts are. Writes at most once a second, whoever asks: others get what was found then."""

    def __init__(
        self,
        *,
        store: HotState,
        integration: Integration,
        signer: CheckpointSigner | None,
        dispatcher: Dispatcher,
        spool: EventSpool,
        audit: AuditService,
        watch: ApprovalWatch,
        refused: Callable[[], str],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._integration = integration
        self._dispatcher = dispatcher
        self._spool = spool
        self._audit = audit
        self._watch = watch
        self._refused = refused
        self._signer = signer
        self._clock = clock
        self._lock = asyncio.Lock()
        self._fault = ""
        self._backlog = Backlog()
        self._probed_at = -inf

    @property
    def log(self) -> LogStatus:
        """How the audit log is."""
        if self._signer is not None:
            return self._signer.status
        return LogStatus(leaves=self._integration.seen.size, fault=str(self._integration.fault or ""))

    async def look(self, *, seconds: float) -> Health:
        """Return how it is, the store as it was at most a second ago. Never raises.

        ``seconds`` bounds what it waits for the store.
        """
        async with self._lock:
            if monotonic() - self._probed_at >= AT_MOST_EVERY:
                fault = ""
                try:
                    async with asyncio.timeout(seconds):
                        # first: where the hot store alone is away, records get their leaves all the same
                        self._backlog = await self._store.records.backlog(now=self._clock(), limit=COUNTED)
                        await self._store.probe()
                except TimeoutError:
                    fault = "the store does not answer in time"
                except StoreError as error:
                    fault = str(error)
                except Exception:
                    logger.exception("the store could not be probed")
                    fault = "the store could not be probed, the log of the process says why"
                self._fault, self._probed_at = fault, monotonic()
            return self.told(self._fault)

    def told(self, fault: str) -> Health:
        """Return how it is, with a fault of the store."""
        now, log, backlog, load = self._clock(), self.log, self._backlog, self._store.records.load
        undelivered = {of: n for of, n in backlog.undelivered.items() if self._dispatcher.has_sinks(of)}
        backlog = replace(backlog, undelivered=undelivered)  # others wait for nobody
        is_signed = log.signed_leaves >= log.leaves and not backlog.leafless
        since = log.signed_at or log.watched_from
        return Health(
            at=now,
            fault=fault or self._refused(),
            log=log,
            backlog=backlog,
            load=replace(load, waiting=load.waiting + self._store.waiting),
            behind=timedelta(0) if backlog.since is None else max(timedelta(0), now - backlog.since),
            unsigned_for=None if since is None or is_signed else max(timedelta(0), now - since),
            failing_sinks=self._dispatcher.failing,
            dropped=self._dispatcher.dropped,
            queued=self._dispatcher.waiting,
            followers=self._audit.followers,
            approvals_awaited=self._watch.waiting,
            spooled=self._spool.waiting,
            lost=self._spool.lost,
        )


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"
