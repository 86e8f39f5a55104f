"""What the middleware serves under its prefix: prompts, factors, receipts, purposes and assets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from stepup_middleware import assets
from stepup_middleware.asgi import Receive, Scope, Send
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.texts import marked
from stepup_middleware.errors import EvidenceError
from stepup_middleware.request.context import guarded_request
from stepup_middleware.request.site import is_navigation

from .answers import SAFE_HEADERS, answer, purpose_view
from .approval_routes import collect_token
from .approver_routes import (
    approve_by_code,
    approve_by_key,
    begin_approval,
    deny,
    deny_and_end,
    list_approvals,
    match_digits,
    show_approval,
)
from .batch_routes import ask_together, cancel_together, code_together, key_options_together, key_together
from .call import Call, Endpoint, Handler
from .factor_routes import (
    factor_finish,
    factor_options,
    list_factors,
    remove_factor,
    rename_factor,
    totp_begin,
    totp_confirm,
)
from .health import show_health, show_life
from .pages import locale_of, render
from .people_routes import confirm_reset, issue_pass, list_people, reset_factors, withdraw_reset
from .prompt_routes import cancel_prompt, show_prompt, totp_finish, webauthn_finish, webauthn_options
from .receipt import NO_EVIDENCE, NO_RECEIPT, receipt_view
from .recovery_routes import renew_recovery_codes, take_pass, use_recovery_code

FOREVER = "public, max-age=31536000, immutable"


# receipts, purposes and assets


async def show_receipt(call: Call) -> Response:
    """Show the receipt of a step-up to the person who made it, or to an admin of the workspace."""
    view = await receipt_view(call.stepup, call.requester.subject, call.prompt_id, call.base, call.texts)
    if view is None:
        return call.refuse(NO_RECEIPT)
    return call.html_response(render("receipt.html", call.stepup, call.base, call.texts, receipt=view))


async def download_evidence(call: Call) -> Response:
    """Hand the evidence bundle of a step-up to an admin of the workspace, as a file.

    It has the records of everybody who tried the same prompt, so that the person of the receipt does not get it.
    """
    subject = call.requester.subject
    try:
        bundle = await call.stepup.evidence(subject.workspace_id, call.prompt_id) if subject.is_admin else None
    except EvidenceError:
        bundle = None
    if bundle is None:
        return call.refuse(NO_EVIDENCE)
    text = json.dumps(bundle, ensure_ascii=False, indent=1)
    name = f"evidence-{bundle['prompt_id']}.json"
    headers = {**SAFE_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text + "\n", media_type="application/json", headers=headers)


async def list_purposes(call: Call) -> Response:
    """Return the catalogue of purposes, with the requirements of the caller's workspace."""
    standing = await call.stepup.factors.standing(call.requester.subject)
    return call.json_response(
        {
            "purposes": [
                {
                    **purpose_view(entry.purpose, call.texts),
                    "description": call.texts(entry.purpose.description),
                    "requirement": entry.requirement.value,
                    "minimum": entry.purpose.minimum.value,
                    "ttl_seconds": int(entry.purpose.ttl.total_seconds()),
                    "satisfied": entry.satisfied,
                    "approvable": entry.purpose.approvable,
                }
                for entry in standing
            ]
        }
    )


_ACCEPTS_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:,|$|;\s*q=(?!0(?:\.0*)?\s*(?:,|$)))", re.IGNORECASE)


# public, the same for everybody and with nothing secret: any page may load them, also with integrity (SRI §3.5)
_PUBLIC = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


async def asset(request: Request) -> Response:
    """Serve a bundled asset under its hashed name."""
    found = assets.by_hashed_name().get(request.path_params["name"])
    if found is None:
        return Response(status_code=404, headers=SAFE_HEADERS)
    return _asset(request, found, {**_PUBLIC, "Cache-Control": FOREVER})


async def stable_asset(request: Request) -> Response:
    """Serve an asset under its plain name, to be asked about again with each page (RFC 9110 §13.1.2)."""
    found = assets.bundled()[request.url.path.rpartition("/")[2]]
    tag = f'W/"{found.hashed_name}"'  # weak: the same for each coding
    headers = {**_PUBLIC, "Cache-Control": "no-cache", "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return _asset(request, found, headers)


def _asset(request: Request, found: assets.Asset, headers: dict[str, str]) -> Response:
    if not _ACCEPTS_GZIP.search(request.headers.get("accept-encoding", "")):
        return Response(found.content, media_type=found.media_type, headers=headers)
    # the same for everybody and without a secret, so its length tells nothing (RFC 9110 §8.4.1.3)
    return Response(found.gzipped, media_type=found.media_type, headers={**headers, "Content-Encoding": "gzip"})


async def script_texts(request: Request) -> Response:
    """Return what the scripts say, in the language of the page that asks, or of the person's browser."""
    stepup = guarded_request(request.scope).stepup
    wanted = stepup.languages.find(request.path_params.get("language", ""))
    texts = await stepup.languages.ready(locale_of(request.scope, stepup) if wanted is None else wanted)
    said = {
        "language": texts.tag,
        "direction": texts.direction,
        "texts": stepup.languages.said_by_scripts(texts),
    }
    return JSONResponse(said, headers=SAFE_HEADERS)


_NO_PAGE = Refusal(
    code=RefusalCode.PROMPT_NOT_FOUND,
    title=marked("There is no page at this address"),
    detail=marked(
        "The address is incomplete, or leads to a part of a page that is not opened by itself. Nothing was done."
    ),
)


async def _no_page(scope: Scope, status: int, headers: dict[str, str]) -> Response:
    """Return what a person reads who opens an address without a page; a program is told by the status alone."""
    if not is_navigation(scope):
        return Response(status_code=status, headers={**SAFE_HEADERS, **headers})
    stepup = guarded_request(scope).stepup
    await stepup._parts.identification.identify_request(scope)  # in the person's language
    response = answer(_NO_PAGE, stepup, scope)
    response.status_code = status
    response.headers.update(headers)
    return response


class WrongMethod:
    """Answers an address of ours that was met with a method it does not have."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = ", ".join(sorted(allowed))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await _no_page(scope, 405, {"Allow": self._allowed})
        await response(scope, receive, send)


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer an address under the prefix that is none of ours."""
    response = await _no_page(scope, 404, {})
    await response(scope, receive, send)


def _health_routes(path: str | None) -> list[Route]:
    if path is None:
        return []
    return [Route(path, show_health, methods=["GET"]), Route(path + "/live", show_life, methods=["GET"])]


def library_router(prefix: str, *, health: bool = False) -> Router:
    """Return the router of everything under the prefix."""

    def route(path: str, handler: Handler, method: str, *, waits: bool = False) -> Route:
        proves = path.startswith(("/prompts/", "/batches"))  # whatever becomes of it, the action has not run
        met = Endpoint(handler, changes=method != "GET", waits=waits, proves=proves)
        return Route(prefix + path, met, methods=[method])

    prompt = "/prompts/{prompt_id}"
    factor = "/factors/{factor_id}"
    routes = [
        route(prompt, show_prompt, "GET"),
        route(prompt, cancel_prompt, "DELETE"),
        route(prompt + "/webauthn/options", webauthn_options, "POST"),
        route(prompt + "/webauthn", webauthn_finish, "POST"),
        route(prompt + "/totp", totp_finish, "POST"),
        route(prompt + "/token", collect_token, "POST", waits=True),
        route("/approvals", list_approvals, "GET", waits=True),
        route("/approve/{code}", show_approval, "GET"),
        route("/approve/{code}", match_digits, "POST"),
        route("/approve/{code}", deny, "DELETE"),
        route("/approve/{code}/deny", deny, "POST"),
        route("/approve/{code}/end", deny_and_end, "POST", waits=True),
        route("/approve/{code}/webauthn/options", begin_approval, "POST"),
        route("/approve/{code}/webauthn", approve_by_key, "POST"),
        route("/approve/{code}/totp", approve_by_code, "POST"),
        route("/batches", ask_together, "POST"),
        route("/batches/webauthn/options", key_options_together, "POST"),
        route("/batches/webauthn", key_together, "POST"),
        route("/batches/totp", code_together, "POST"),
        route("/batches/cancel", cancel_together, "POST"),
        route("/factors", list_factors, "GET"),
        route("/factors/webauthn/options", factor_options, "POST"),
        route("/factors/webauthn", factor_finish, "POST"),
        route("/factors/pass", take_pass, "POST"),
        route("/factors/recovery", use_recovery_code, "POST"),
        route("/factors/recovery-codes", renew_recovery_codes, "POST"),
        route("/factors/totp", totp_begin, "POST"),
        route("/factors/totp/{factor_id}/confirm", totp_confirm, "POST"),
        route(factor, rename_factor, "PATCH"),
        route(factor, remove_factor, "DELETE"),
        route("/people", list_people, "GET"),
        route("/people/pass", issue_pass, "POST"),
        route("/people/reset", reset_factors, "POST"),
        route("/people/reset/confirm", confirm_reset, "POST"),
        route("/people/reset/withdraw", withdraw_reset, "POST"),
        route("/receipts/{prompt_id}", show_receipt, "GET"),
        route("/receipts/{prompt_id}/evidence", download_evidence, "GET"),
        route("/purposes", list_purposes, "GET"),
        Route(prefix + "/texts", script_texts, methods=["GET"]),
        Route(prefix + "/texts/{language}", script_texts, methods=["GET"]),
        Route(prefix + "/static/{name}", asset, methods=["GET"]),
        *_health_routes(prefix + "/health" if health else None),
        *(Route(f"{prefix}/{name}", stable_asset, methods=["GET"]) for name in assets.STABLE),
    ]
    allowed: dict[str, set[str]] = {}
    for each in routes:
        allowed.setdefault(each.path, set()).update(each.methods or ())
    routes += [Route(path, WrongMethod(methods)) for path, methods in allowed.items()]
    return Router(routes=routes, redirect_slashes=False, default=nowhere)
