"""The route on which a program waits for an approval and takes its token."""

from __future__ import annotations

import re
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from stepup_middleware.core.moments import iso
from stepup_middleware.core.refusals import Refusal
from stepup_middleware.service.approval_watch import of_prompt
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
        watch = call.stepup._parts.approvals.watch
        found, waited = await watch.until(of_prompt(call.prompt_id), partial(_look_again, call), seconds)
        seconds *= waited
    if isinstance(found, Refusal):
        return call.refuse(found)
    if isinstance(found, IssuedToken):
        return call.json_response({"token": found.token, "expires_at": iso(found.expires_at)})
    response = call.json_response({"status": "pending", "expires_at": iso(found.expires_at)}, 202)
    if seconds:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    return response


async def _look(call: Call) -> IssuedToken | Pending | Refusal:
    async with call.stepup._life.in_time():
        return await call.stepup._parts.approvals.collect(call.requester, call.prompt_id)


async def _look_again(call: Call) -> tuple[IssuedToken | Pending | Refusal, float]:
    """Look after a wait, and say how long it may go on: the session may have ended meanwhile, and it is later."""
    refusal = await call.identify_again()
    found = await _look(call) if refusal is None else refusal
    left = (found.expires_at - call.requester.now).total_seconds() if isinstance(found, Pending) else 0
    return found, left


def wait_of(request: Request) -> int:
    """Return how many seconds a caller is willing to wait (RFC 7240 §4.3), as far as we do; 0 where it does not say."""
    found = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return 0 if found is None else min(int(found[1]), LONGEST_WAIT)
