"""The security console: what happens now, what is alarming, and the last 24 hours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Send

from demo_app.accounts import WORKSPACE
from demo_app.axis import Axis, actor_of, admin_of, axis_of
from demo_app.db import Row
from demo_app.event_counters import KINDS
from demo_app.pages import fragment, page, rendered
from stepup_middleware import AuditFilter, AuditRecord, EventName, TooManyFollowers

FEED = 20  # events shown when the page opens
_ALERT_DAYS = 30
_ALERTS = 20
_SLOW_SECONDS = 20.0  # that a client may take for one event
_TOO_MANY = "You have the security console open in as many places as one person may. Close one of them."
_HEARTBEAT_SECONDS = 15.0  # how soon a stream notices that its session has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A replay: the token's redemption and its second presentation, how often it was shown, and who looked at it."""

    redemption: AuditRecord | None
    replay: AuditRecord
    count: int
    acknowledgement: Row | None


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
    return Alert(
        redemption=redemptions[0] if redemptions else None,
        replay=replay,
        count=int(replay.data.get("count", 1)),
        acknowledgement=acknowledgement,
    )


async def _panel(request: Request) -> dict[str, Any]:
    axis = axis_of(request.scope)
    return {"day": await axis.counters.day(), "alerts": await alerts(axis), "kinds": KINDS}


async def show(request: Request) -> Response:
    """Show the console; the page keeps itself up to date by the event stream."""
    await admin_of(request)
    audit = axis_of(request.scope).stepup.audit
    feed = await audit.page(WORKSPACE, AuditFilter(), limit=FEED)
    last = feed.events[0].seq if feed.events else 0
    return await page(request, "console.html", feed=feed.events, last=last, **await _panel(request))


async def panel(request: Request) -> Response:
    """Return counters, chart and alerts as they are now."""
    await admin_of(request)
    return fragment("console_panel.html", **await _panel(request))


async def acknowledge(request: Request) -> Response:
    """Write down that a person has looked at a replay."""
    await admin_of(request)
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


class EventStream(StreamingResponse):
    """A stream of events; a client that takes none of them for too long is let go, and its place is free."""

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(_SLOW_SECONDS):
                await send(message)

        try:
            with suppress(TimeoutError):
                await super().stream_response(send_in_time)
        finally:
            if isinstance(self.body_iterator, AsyncGenerator):
                await self.body_iterator.aclose()


async def events(request: Request) -> Response:
    """Stream the audit events of the workspace as they are written (HTML, "Server-sent events")."""
    admin, axis = await admin_of(request), axis_of(request.scope)
    last = request.headers.get("last-event-id") or request.query_params.get("after", "")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else None
    try:
        records = axis.stepup.audit.follow(WORKSPACE, after=after, by=admin.id)
    except TooManyFollowers:
        raise HTTPException(429, _TOO_MANY, headers={"retry-after": "60"}) from None
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return EventStream(_stream(request, records), media_type="text/event-stream", headers=headers)


async def _stream(request: Request, records: AsyncIterator[AuditRecord]) -> AsyncIterator[str]:
    axis = axis_of(request.scope)
    loop = asyncio.get_running_loop()
    following = asyncio.ensure_future(anext(records, None))
    stopping = asyncio.ensure_future(axis.stopping.wait())
    looked = loop.time()
    try:
        yield ": open\n\n"
        while not stopping.done():
            await asyncio.wait({following, stopping}, timeout=_HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if loop.time() - looked >= _HEARTBEAT_SECONDS:  # however much happens: a session that ended hears no more
                looked = loop.time()
                subject = await axis.accounts.identify(request.scope)
                if subject is None or not subject.is_admin:
                    return
                yield ": still here\n\n"
            if following.done():
                record = following.result()
                if record is None:  # the log is being closed
                    return
                following = asyncio.ensure_future(anext(records, None))
                yield _message(record)
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
