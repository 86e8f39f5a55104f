"""The route on which a program waits for an approval and takes its token."""

from __future__ import annotations

import re
from time import monotonic

from starlette.requests import Request
from starlette.responses import Response

from stepup_middleware.core.moments import iso
from stepup_middleware.core.refusals import Refusal
from stepup_middleware.service.approval_watch import of_prompt, within
from stepup_middleware.service.approvals import Pending
from stepup_middleware.service.grants import IssuedToken

from .call import Call

LONGEST_WAIT = 30  # seconds: proxies end what is silent for a minute
_WAIT = re.compile(r'(?:^|,)\s*wait\s*=\s*"?([0-9]{1,6})"?\s*(?=$|[,;])', re.IGNORECASE)


async def collect_token(call: Call) -> Response:
    """Return the token of an approved prompt; until then say that it is pending, after as long as the caller waits."""
    seconds = wait_of(call.request)
    found = await _look(call)
    if isinstance(found, Pending) and seconds:
        found, seconds = await _decided(call, found, seconds)
    if isinstance(found, Refusal):
        return call.refuse(found)
    if isinstance(found, IssuedToken):
        return call.json_response({"token": found.token, "expires_at": iso(found.expires_at)})
    response = call.json_response({"status": "pending", "expires_at": iso(found.expires_at)}, 202)
    if seconds:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    return response


async def _decided(
    call: Call, found: IssuedToken | Pending | Refusal, seconds: int
) -> tuple[IssuedToken | Pending | Refusal, int]:
    """Wait until somebody has decided, so many seconds at most; 0 of them where too many wait already."""
    watch, until = call.stepup._parts.approvals.watch, monotonic() + seconds
    while isinstance(found, Pending):
        async with watch.waiting_for(of_prompt(call.prompt_id)) as news:
            if news is None:
                return found, 0
            found = await _look_again(call)
            left = until - monotonic()
            if not isinstance(found, Pending) or left <= 0:
                break
            await within(news, left)
    return found, seconds


async def _look(call: Call) -> IssuedToken | Pending | Refusal:
    async with call.stepup._life.in_time():
        return await call.stepup._parts.approvals.collect(call.requester, call.prompt_id)


async def _look_again(call: Call) -> IssuedToken | Pending | Refusal:
    """Look after a wait: the session may have ended meanwhile, and the time is another one."""
    refusal = await call.identify_again()
    return await _look(call) if refusal is None else refusal


def wait_of(request: Request) -> int:
    """Return how many seconds a caller is willing to wait (RFC 7240 §4.3), as far as we do; 0 where it does not say."""
    found = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return 0 if found is None else min(int(found[1]), LONGEST_WAIT)
