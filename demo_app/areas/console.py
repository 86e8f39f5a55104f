"""The security console: what happens now, what is alarming, and the last 24 hours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from demo_app.accounts import WORKSPACE
from demo_app.axis import NOT_THERE, Axis, actor_of, admin_of, axis_of
from demo_app.event_counters import KINDS
from demo_app.languages import Text, Texts, marked, said_in, saying, texts_of
from demo_app.pages import ALERT_SPAN, alerts_waiting, fragment, page, rendered, say_and_show, wants_fragment
from stepup_middleware import AuditFilter, AuditRecord, EventName, SecurityAlert, TooManyFollowers

FEED = 20  # events shown when the page opens
_ALERTS = 20
_OURS = (WORKSPACE, "")  # and what concerns the whole installation
_SLOW_SECONDS = 20.0  # that a client may take for one event
_TOO_MANY = marked("You have the security console open in as many places as one person may. Close one of them.")
_LOOK_SECONDS = 5.0  # how soon a stream notices that its session has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert as the console shows it: of a replay, with the redemption of the token before it."""

    redemption: AuditRecord | None
    record: AuditRecord
    count: int
    likely_retry: bool
    acknowledged: AuditRecord | None


async def alerts(axis: Axis) -> list[Alert]:
    """Return the newest alerts of the last thirty days."""
    found = await axis.stepup.alerts.list(WORKSPACE, since=axis.clock() - ALERT_SPAN)
    return [await _alert(axis, alert) for alert in found[:_ALERTS]]


async def _alert(axis: Axis, alert: SecurityAlert) -> Alert:
    prompt = alert.record.prompt_id
    events = await axis.stepup.audit.of_prompt(WORKSPACE, prompt) if prompt else ()
    redemptions = [event for event in events if event.event is EventName.ACTION_AUTHORIZED]
    return Alert(
        redemption=redemptions[0] if redemptions else None,
        record=alert.record,
        count=alert.count,
        likely_retry=alert.likely_retry,
        acknowledged=alert.acknowledged,
    )


async def _panel(request: Request, said: Text | None = None) -> dict[str, Any]:
    axis = axis_of(request.scope)
    return {
        "day": await axis.counters.day(),
        "alerts": await alerts(axis),
        "kinds": KINDS,
        "contact": axis.settings.security_contact,
        "done_now": None if said is None else said_in(texts_of(request.scope), said),
    }


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
    return fragment(request, "console_panel.html", **await _panel(request))


async def _after(request: Request, said: Text) -> Response:
    """Answer what an admin did: htmx is given the panel, a plain form the console with what was done."""
    if wants_fragment(request):
        return fragment(request, "console_panel.html", **await _panel(request, said))
    return say_and_show(request, said, "/security")


async def acknowledge(request: Request) -> Response:
    """Note in the log that an admin has looked at a replay."""
    admin, seq = await admin_of(request), request.path_params["seq"]
    if not await axis_of(request.scope).stepup.alerts.acknowledge(admin, seq, scope=request.scope):
        raise HTTPException(404, NOT_THERE)
    return await _after(request, saying("Acknowledged. The log has it with your name."))


async def end_sessions(request: Request) -> Response:
    """End every session of a person, and what they had proved and not used."""
    await admin_of(request)
    axis, actor = axis_of(request.scope), await actor_of(request)
    ended = await axis.accounts.end_sessions(request.path_params["account"])
    if ended is None:
        raise HTTPException(404, NOT_THERE)
    name, subjects = ended
    for subject in subjects:
        await axis.stepup.end_session(subject)
    async with axis.database.write() as change:
        await actor.note(change, saying("Ended all sessions of %(name)s.", name=name))
    return await _after(request, saying("All sessions of %(name)s have ended. They have to sign in again.", name=name))


async def revoke_all(request: Request) -> Response:
    """Make every open question and unused proof worthless."""
    admin = await admin_of(request)
    await axis_of(request.scope).stepup.revoke_all(admin, scope=request.scope)
    return await _after(
        request, saying("Everything outstanding is worthless now. Who was about to authorize is asked again.")
    )


class EventStream(StreamingResponse):
    """A stream of events; who goes, or takes none of them for too long, gives the place back at once.

    A page that is opened again and again would else find no place: an abandoned follower keeps its own until it is
    collected.
    """

    def __init__(self, texts: AsyncIterator[str], leave: Callable[[], Awaitable[None]]) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(texts, media_type="text/event-stream", headers=headers)
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._leave()

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
    last = request.headers.get("last-event-id") or request.query_params.get("after", "")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else None

    texts = texts_of(request.scope)

    async def told(record: AuditRecord) -> str:
        return _message(texts, record)

    return await _streaming(request, told, after)


async def waiting(request: Request) -> Response:
    """Stream how many alerts wait for an admin: at once, and whenever that may have changed."""
    axis = axis_of(request.scope)

    async def told(record: AuditRecord | None) -> str:
        if record is not None and not record.is_alert and record.event is not EventName.ALERT_ACKNOWLEDGED:
            return ""
        return f"event: alerts\ndata: {await alerts_waiting(axis)}\n\n"

    return await _streaming(request, told, None, first=await told(None))


async def _streaming(
    request: Request, told: Callable[[AuditRecord], Awaitable[str]], after: int | None, first: str = ""
) -> Response:
    admin, axis = await admin_of(request), axis_of(request.scope)
    try:
        records = axis.stepup.audit.follow(None, after=after, by=admin.id)
    except TooManyFollowers:
        raise HTTPException(429, _TOO_MANY, headers={"retry-after": "60"}) from None
    return EventStream(_stream(request, records, told, first), records.aclose)


async def _stream(
    request: Request, records: AsyncIterator[AuditRecord], told: Callable[[AuditRecord], Awaitable[str]], first: str
) -> AsyncIterator[str]:
    axis = axis_of(request.scope)
    loop = asyncio.get_running_loop()
    following = asyncio.ensure_future(anext(records, None))
    stopping = asyncio.ensure_future(axis.stopping.wait())
    looked = loop.time()
    try:
        yield f": open\n\n{first}"
        while not stopping.done():
            await asyncio.wait({following, stopping}, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if loop.time() - looked >= _LOOK_SECONDS:  # however much happens: a session that ended hears no more
                looked = loop.time()
                subject = await axis.accounts.identify(request.scope)
                if subject is None or not subject.is_admin:
                    yield f"event: over\ndata: {401 if subject is None else 403}\n\n"
                    return
                yield ": still here\n\n"
            if following.done():
                record = following.result()
                if record is None:  # the log is being closed
                    return
                following = asyncio.ensure_future(anext(records, None))
                if record.workspace_id in _OURS and (message := await told(record)):
                    yield message
    finally:
        stopping.cancel()
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


def _message(texts: Texts, record: AuditRecord) -> str:
    row = rendered(texts, "console_event.html", event=record)
    data = "".join(f"data: {line}\n" for line in row.splitlines() if line.strip())
    return f"id: {record.seq}\nevent: {record.severity}\n{data}\n"


routes = [
    Route("/security", show),
    Route("/security/panel", panel),
    Route("/security/events", events),
    Route("/security/waiting", waiting),
    Route("/security/people/{account}/end-sessions", end_sessions, methods=["POST"]),
    Route("/security/revoke-all", revoke_all, methods=["POST"]),
    Route("/security/alerts/{seq:row}/acknowledge", acknowledge, methods=["POST"]),
]
