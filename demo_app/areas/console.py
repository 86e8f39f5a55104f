"""The security console: what happens now, what is alarming, and the last 24 hours."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from demo_app.accounts import WORKSPACE
from demo_app.axis import Axis, actor_of, axis_of, current
from demo_app.db import Row
from demo_app.pages import fragment, page, rendered
from stepup_middleware import AuditFilter, AuditRecord, EventName

HOURS = 24
FEED = 20  # events shown when the page opens
CLUSTER_SIZE = 5  # failures
CLUSTER_WINDOW = timedelta(minutes=10)
_ALERT_DAYS = 30
_ALERTS = 20
_HEARTBEAT_SECONDS = 15.0  # how soon a stream notices that its session has ended
_KINDS = {
    EventName.CHALLENGE_REQUESTED: "asked",
    EventName.VERIFIED: "proved",
    EventName.ACTION_AUTHORIZED: "authorized",
    EventName.FAILED: "failed",
    EventName.BLOCKED: "blocked",
    EventName.REUSED: "replayed",
}
KINDS = tuple(_KINDS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A replay: the token's redemption and its second presentation, and who has looked at it."""

    redemption: AuditRecord | None
    replay: AuditRecord
    acknowledgement: Row | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Many failures on one purpose in a short time: how many, and the last of them."""

    purpose: str
    failures: int
    last: AuditRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The last 24 hours: totals by kind, and counts by kind for each hour, oldest first."""

    totals: Counter[str]
    hours: list[tuple[datetime, Counter[str]]]
    clusters: list[Cluster]

    @property
    def tallest(self) -> int:
        """The largest number of events in an hour, at least one."""
        return max(1, *(sum(hour.values()) for _, hour in self.hours))


async def last_day(axis: Axis) -> Day:
    """Count the events of the last 24 hours and collect the clusters of failures."""
    this_hour = axis.clock().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    starts = [this_hour - timedelta(hours=back) for back in range(HOURS - 1, -1, -1)]
    hours: dict[datetime, Counter[str]] = {start: Counter() for start in starts}
    totals: Counter[str] = Counter()
    failures: list[AuditRecord] = []
    async for event in axis.stepup.audit.stream(WORKSPACE, AuditFilter(since=starts[0])):
        kind = _KINDS.get(event.event)
        hour = event.at.replace(minute=0, second=0, microsecond=0)
        if kind is not None and hour in hours:
            totals[kind] += 1
            hours[hour][kind] += 1
        if event.event in (EventName.FAILED, EventName.BLOCKED):
            failures.append(event)
    return Day(totals=totals, hours=list(hours.items()), clusters=clusters(failures))


def clusters(failures: Sequence[AuditRecord]) -> list[Cluster]:
    """Return the clusters among failures that are in order of time, the latest of each purpose.

    A cluster is five failures or more on one purpose, each within ten minutes of the first.
    """
    running: dict[str, list[AuditRecord]] = {}
    found: dict[str, Cluster] = {}
    for event in failures:
        near = [other for other in running.get(event.purpose, []) if event.at - other.at <= CLUSTER_WINDOW]
        running[event.purpose] = [*near, event]
        if len(near) + 1 >= CLUSTER_SIZE:
            found[event.purpose] = Cluster(purpose=event.purpose, failures=len(near) + 1, last=event)
    return sorted(found.values(), key=lambda cluster: cluster.last.at, reverse=True)


async def alerts(axis: Axis) -> list[Alert]:
    """Return the replays of the last thirty days, newest first."""
    since = axis.clock() - timedelta(days=_ALERT_DAYS)
    wish = AuditFilter(event=EventName.REUSED, since=since)
    found = await axis.stepup.audit.page(WORKSPACE, wish, limit=_ALERTS)
    return [await _alert(axis, replay) for replay in found.events]


async def _alert(axis: Axis, replay: AuditRecord) -> Alert:
    events = await axis.stepup.audit.of_prompt(WORKSPACE, replay.prompt_id)
    redemptions = [event for event in events if event.event is EventName.ACTION_AUTHORIZED]
    acknowledgement = await axis.database.one(
        "SELECT at, name FROM acknowledgement JOIN account ON account.id = account_id WHERE seq = ?", replay.seq
    )
    return Alert(redemption=redemptions[0] if redemptions else None, replay=replay, acknowledgement=acknowledgement)


async def _panel(request: Request) -> dict[str, Any]:
    axis = axis_of(request.scope)
    return {"day": await last_day(axis), "alerts": await alerts(axis), "kinds": KINDS}


async def show(request: Request) -> Response:
    """Show the console; the page keeps itself up to date by the event stream."""
    await current(request)
    audit = axis_of(request.scope).stepup.audit
    feed = await audit.page(WORKSPACE, AuditFilter(), limit=FEED)
    last = feed.events[0].seq if feed.events else 0
    return await page(request, "console.html", feed=feed.events, last=last, **await _panel(request))


async def panel(request: Request) -> Response:
    """Return counters, chart and alerts as they are now."""
    await current(request)
    return fragment("console_panel.html", **await _panel(request))


async def acknowledge(request: Request) -> Response:
    """Write down that a person has looked at a replay."""
    axis, actor, seq = axis_of(request.scope), await actor_of(request), request.path_params["seq"]
    if all(alert.replay.seq != seq for alert in await alerts(axis)):
        raise HTTPException(404, "There is no such alert.")
    async with axis.database.write() as change:
        await change.run(
            "INSERT INTO acknowledgement (seq, account_id, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            seq,
            actor.account_id,
            actor.at.isoformat(),
        )
        await actor.note(change, f"Replay alert {seq} acknowledged.")
    return await panel(request)


async def events(request: Request) -> Response:
    """Stream the audit events of the workspace as they are written (HTML, "Server-sent events")."""
    await current(request)
    last = request.headers.get("last-event-id") or request.query_params.get("after", "")
    after = int(last) if last.isascii() and last.isdigit() else None
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_stream(request, after), media_type="text/event-stream", headers=headers)


async def _stream(request: Request, after: int | None) -> AsyncIterator[str]:
    axis = axis_of(request.scope)
    records = axis.stepup.audit.follow(WORKSPACE, after=after)
    following = asyncio.ensure_future(anext(records))
    stopping = asyncio.ensure_future(axis.stopping.wait())
    try:
        yield ": open\n\n"
        while not stopping.done():
            await asyncio.wait({following, stopping}, timeout=_HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                record = following.result()
                following = asyncio.ensure_future(anext(records))
                yield _message(record)
            elif await axis.accounts.identify(request.scope) is None:
                return
            else:
                yield ": still here\n\n"
    finally:
        stopping.cancel()
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


def _message(record: AuditRecord) -> str:
    row = rendered("console_event.html", event=record)
    data = "".join(f"data: {line}\n" for line in row.splitlines() if line.strip())
    return f"id: {record.seq}\nevent: {record.severity}\n{data}\n"


routes = [
    Route("/security", show),
    Route("/security/panel", panel),
    Route("/security/events", events),
    Route("/security/alerts/{seq:int}/acknowledge", acknowledge, methods=["POST"]),
]
