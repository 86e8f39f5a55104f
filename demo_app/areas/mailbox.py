"""The mailbox: what people were told of their own account, where an app would have sent an e-mail."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo_app.axis import axis_of, current
from demo_app.pages import page

_SHOWN = 50


async def show(request: Request) -> Response:
    """Show the newest messages to the person who asks, and to nobody else."""
    subject = await current(request)
    messages = await axis_of(request.scope).database.all(
        "SELECT at, locale, title, text FROM message WHERE account_id = ? ORDER BY id DESC LIMIT ?", subject.id, _SHOWN
    )
    return await page(request, "mailbox.html", messages=messages)


routes = [Route("/mailbox", show)]
