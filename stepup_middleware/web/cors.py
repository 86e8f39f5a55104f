"""What pages of other listed origins may read and send (CORS, Fetch §3.2), and the related origins of WebAuthn."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from stepup_middleware.asgi import ASGIApp, Message, Receive, Scope, Send, header

if TYPE_CHECKING:
    from stepup_middleware.core.relying_party import RelyingParty

WELL_KNOWN = b"/.well-known/webauthn"
_EXPOSED = b"StepUp-Prompt, StepUp-Method, StepUp-Error, Retry-After"
_METHODS = b"GET, POST, PATCH, DELETE"
_NAMES = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_DAY = b"86400"


def cors_headers(scope: Mapping[str, Any], origins: Collection[str]) -> list[tuple[bytes, bytes]]:
    """Return the headers by which a page of another listed origin may read an answer of ours.

    For what is of the page's own origin, or no browser's, there is none. An unlisted origin is told nothing.
    """
    origin = header(scope, b"origin")
    if origin is None or header(scope, b"sec-fetch-site") == b"same-origin":
        return []
    if origin.decode("latin-1") not in origins:
        return [(b"vary", b"Origin")]
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"Origin"),
    ]


class CrossOrigin:
    """The library's own routes, open to pages of other listed origins: preflights answered, answers readable."""

    def __init__(self, app: ASGIApp, relying_party: RelyingParty) -> None:
        self._app = app
        self._origins = relying_party.origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = cors_headers(scope, self._origins) if scope["type"] == "http" else []
        if not given:
            await self._app(scope, receive, send)
            return
        wanted = header(scope, b"access-control-request-method")
        if scope["method"] == "OPTIONS" and wanted is not None and len(given) > 1:
            await _preflight(scope, given)(scope, receive, send)
            return

        async def readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", ())}
                if b"access-control-allow-origin" not in present:
                    message = {**message, "headers": [*message.get("headers", ()), *given]}
            await send(message)

        await self._app(scope, receive, readable)


def _preflight(scope: Scope, given: list[tuple[bytes, bytes]]) -> Response:
    """Return the answer to a preflight of a listed origin: what its own calls need is for the app to say."""
    response = Response(status_code=204, headers={"Cache-Control": "no-store"})
    del MutableHeaders(raw=response.raw_headers)["content-length"]
    response.raw_headers += [*given, (b"access-control-allow-methods", _METHODS), (b"access-control-max-age", _DAY)]
    names = header(scope, b"access-control-request-headers")
    if names is not None and _NAMES.fullmatch(names):
        response.raw_headers.append((b"access-control-allow-headers", names))
    return response


class RelatedOrigins:
    """Serves ``/.well-known/webauthn`` where this app is the relying party's host (WebAuthn L3 §5.11.1)."""

    def __init__(self, relying_party: RelyingParty) -> None:
        self._id = relying_party.id
        self._body = json.dumps({"origins": list(relying_party.related_origins)}).encode()

    def is_asked(self, scope: Scope) -> bool:
        """Whether a request is for the file, at the host of the relying party's id."""
        host = (header(scope, b"host") or b"").decode("latin-1").partition(":")[0].lower()
        raw = scope.get("raw_path") or scope["path"].encode()
        return raw.partition(b"?")[0] == WELL_KNOWN and host == self._id and scope["method"] in ("GET", "HEAD")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
        await Response(self._body, media_type="application/json", headers=headers)(scope, receive, send)
