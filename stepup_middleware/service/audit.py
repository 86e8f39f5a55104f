"""The audit service: read and follow the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from stepup_middleware.core.audit import AuditFilter, AuditPage, EventCounts
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.clusters import FAILURES, ClusterFinder, ClusterRule, FailureCluster
from stepup_middleware.core.export_formats import ExportFormat
from stepup_middleware.stores.records import Records
from stepup_middleware.stores.rows import MAX_ID

from .audit_search import AuditSearch, AuditSearcher, AuditTotals
from .exporting import LogExport
from .following import Follower, LogFeed
from .signing import CheckpointSigner
from .walking import BATCH, batches


class AuditService:
    """Reads the log. Nothing here writes to it."""

    def __init__(
        self,
        *,
        store: Records,
        clock: Callable[[], datetime],
        signer: CheckpointSigner | None = None,
        rule: ClusterRule | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._signer = signer
        self._rule = rule or ClusterRule()
        self._feed = LogFeed(store)
        self._searcher = AuditSearcher(store)

    @property
    def followers(self) -> int:
        """How many follow the log in this process now."""
        return self._feed.followers

    async def page(
        self,
        workspace_id: str,
        wanted: AuditFilter | None = None,
        *,
        before: int | None = None,
        limit: int = 50,
    ) -> AuditPage:
        """Return one page, newest first. ``before`` is the ``next`` of the page before; ``limit`` at most 500."""
        size, cursor = max(1, min(limit, BATCH)), _cursor(before)
        return await self._store.audit_page(workspace_id, wanted or AuditFilter(), before=cursor, limit=size)

    async def counts(self, workspace_id: str, *, since: datetime, until: datetime | None = None) -> EventCounts:
        """Return how many records of a time there are by hour, event and outcome, counted by the database.

        ``last_seq`` of the answer is the ``after`` for reading on from there.
        """
        return await self._store.count_events(workspace_id, since=since, until=until)

    async def search(
        self, workspace_id: str, wanted: AuditSearch, *, before: int | None = None, limit: int = 50
    ) -> AuditPage:
        """Return up to ``limit`` records that a search finds, newest first.

        At most 5,000 records are looked at: where ``next`` is set there is more to look at, however few were found.
        """
        return await self._searcher.page(workspace_id, wanted, before=_cursor(before), limit=max(1, min(limit, BATCH)))

    async def totals(self, workspace_id: str, wanted: AuditSearch) -> AuditTotals:
        """Count what a search finds, among the newest 5,000 records that its filter lets through."""
        return await self._searcher.totals(workspace_id, wanted)

    async def of_prompt(self, workspace_id: str, prompt_id: str) -> tuple[AuditRecord, ...]:
        """Return the events of one step-up, in order."""
        return await self._store.audit_after(workspace_id, AuditFilter(prompt=prompt_id), after=0, limit=BATCH)

    async def stream(
        self, workspace_id: str | None, wanted: AuditFilter | None = None, *, after: int = 0
    ) -> AsyncIterator[AuditRecord]:
        """Yield the records of a workspace (None: of all), oldest first, up to the end that the log has now."""
        async for batch in batches(self._store, workspace_id, wanted, after=after):
            for record in batch:
                yield record

    def export(
        self,
        workspace_id: str | None,
        wanted: AuditSearch | None = None,
        *,
        form: str = ExportFormat.NDJSON,
        product: str = "stepup-middleware",
    ) -> LogExport:
        """Return an export of what a search finds in a workspace (None: in all), oldest first, to be iterated.

        It yields parts of the file; then its ``manifest()`` says what the file has, and proves its records.
        ``form`` is ``ndjson``, ``csv`` or ``ocsf``, ``product`` what OCSF calls the app.
        """
        return LogExport(
            self._store,
            workspace_id,
            wanted or AuditSearch(),
            ExportFormat(form),
            clock=self._clock,
            signer=self._signer,
            product=product,
        )

    def follow(
        self,
        workspace_id: str | None,
        wanted: AuditFilter | None = None,
        *,
        after: int | None = None,
        by: str | None = None,
    ) -> Follower:
        """Return an async iterator of records as they are written, from every process, for as long as one listens.

        Starts after ``after``, or at the end of the log. ``by`` is the id of the person who follows. Raises
        ``TooManyFollowers`` when that person has 8 followers already, or the process 1,000; a follower gives its slot
        back when it is closed (``aclose``) or let go.
        """
        return self._feed.follower(workspace_id, wanted, after, by)

    async def close(self) -> None:
        """End every follower: their iteration stops. Called by ``StepUp.close``."""
        await self._feed.close()

    async def clusters(
        self,
        workspace_id: str | None,
        *,
        since: datetime,
        until: datetime | None = None,
        newest: int | None = None,
    ) -> tuple[FailureCluster, ...]:
        """Return the clusters of failures in a time, the one with the newest failure first.

        A failure is ``ACCOUNT_STEPUP_FAILED``, ``ACCOUNT_STEPUP_BLOCKED`` or ``APPROVAL_DENIED`` on a purpose, unless
        the person cancelled. How many within how long are a cluster says ``StepUp(failure_cluster=)``. The same events
        are handed to ``on_event`` with the flag ``failure_cluster``. ``newest`` bounds how many records of each event
        are looked at: where there are more, the time before those of any of them is left out. None: all are.
        """
        finder = ClusterFinder(self._rule)
        wishes = [AuditFilter(event=kind, since=since, until=until) for kind in FAILURES]
        if newest is None:
            async for record in self._merged(workspace_id, wishes):
                finder.add(record)
        else:
            for record in await self._newest(workspace_id, wishes, newest):
                finder.add(record)
        return finder.found()

    async def _merged(self, workspace_id: str | None, wishes: Sequence[AuditFilter]) -> AsyncIterator[AuditRecord]:
        """Yield what any of the filters lets through, in the order of the log."""
        walks = [self.stream(workspace_id, wish) for wish in wishes]
        heads = [await anext(walk, None) for walk in walks]
        while any(heads):
            place, record = min(
                ((place, head) for place, head in enumerate(heads) if head is not None), key=lambda each: each[1].seq
            )
            yield record
            heads[place] = await anext(walks[place], None)

    async def _newest(
        self, workspace_id: str | None, wishes: Sequence[AuditFilter], limit: int
    ) -> Sequence[AuditRecord]:
        """Return the newest of what the filters let through, at most so many each, without a gap, in order."""
        pages = [await self._store.audit_page(workspace_id, wish, before=None, limit=limit) for wish in wishes]
        complete = max(page.next or 0 for page in pages)  # before it, records of one filter may be missing
        records = (record for page in pages for record in page.events if record.seq >= complete)
        return sorted(records, key=lambda record: record.seq)


def _cursor(before: int | None) -> int | None:
    """Return a cursor as a database can compare it: it may stand in an address that anybody wrote."""
    return None if before is None else max(0, min(before, MAX_ID))
