"""Whether the installation can be used, for whoever watches it: yes or no for all, all of it with the token."""

from __future__ import annotations

from hmac import compare_digest
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from stepup_middleware.core.moments import iso
from stepup_middleware.core.topics import Topic
from stepup_middleware.request.context import guarded_request
from stepup_middleware.service.health import Health

from .answers import SAFE_HEADERS


async def show_health(request: Request) -> Response:
    """Say whether an action can be authorized now: 200, or 503; and the figures to a caller that has the secret."""
    stepup = guarded_request(request.scope).stepup
    found = await stepup.health()
    view = health_view(found) if _may_see_all(request, stepup._health) else {"ready": found.is_ready}
    return JSONResponse(view, status_code=200 if found.is_ready else 503, headers=SAFE_HEADERS)


async def show_life(request: Request) -> Response:
    """Say that the process answers, whatever its store does: where this fails, a restart helps."""
    return JSONResponse({"live": True}, headers=SAFE_HEADERS)


def _may_see_all(request: Request, setting: bool | str) -> bool:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return (
        isinstance(setting, str)
        and scheme.lower() == "bearer"
        and compare_digest(token.strip().encode("latin-1"), setting.encode("utf-8"))
    )


def health_view(health: Health) -> dict[str, Any]:
    """Return what a health page shows: spans in seconds, moments in UTC."""
    log, backlog, load = health.log, health.backlog, health.load
    return {
        "ready": health.is_ready,
        "fault": health.fault,
        "warnings": list(health.warnings),
        "at": iso(health.at),
        "log": {
            "fault": log.fault,
            "leaves": log.leaves,
            "records_without_leaf": backlog.leafless,
            "behind_seconds": health.behind.total_seconds(),
            "signed_leaves": log.signed_leaves,
            "signed_at": None if log.signed_at is None else iso(log.signed_at),
            "unsigned_for_seconds": None if health.unsigned_for is None else health.unsigned_for.total_seconds(),
            "witnesses": {"cosigned": log.cosigned, "quorum": log.quorum},
            "checkpoint_sinks_behind": log.untaken,
        },
        "store": {
            "operations_waiting": load.waiting,
            "operations_done": load.done,
            "transactions": load.transactions,
        },
        "events": {
            "undelivered": {topic.value: backlog.undelivered.get(topic, 0) for topic in Topic},
            "failing_sinks": list(health.failing_sinks),
            "dropped": health.dropped,
            "queued": health.queued,
            "followers": health.followers,
            "approvals_awaited": health.approvals_awaited,
            "spooled": health.spooled,
            "lost": health.lost,
        },
    }
