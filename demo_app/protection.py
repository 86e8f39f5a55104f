"""What every answer and every change is guarded by, whatever the page."""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_PLAIN_COOKIE = re.compile(rb"[\w!#$%&'*+.^`|~-]+=[\w!#$%&'()*+./:<=>?@^`|~-]*")  # RFC 6265 §4.1.1, less \ " , [ ] { }
_LOOPBACK = frozenset({"127.0.0.1", "[::1]"})


class SecurityHeaders:
    """Puts the strict content security policy and its companions on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = CONTENT_SECURITY_POLICY
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "same-origin"
                headers["cross-origin-opener-policy"] = "same-origin"
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class PlainCookies:
    """Passes on the cookies that need no unquoting, which all of the app's own are.

    Python's ``http.cookies``, which the session middleware reads with, takes quadratic time to unquote a long value
    in versions before 3.11.10 and 3.12.6 (CVE-2024-7592): a cookie of 60 kB keeps such a server busy for half a minute.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope.get("headers", ())
        if any(name == b"cookie" for name, _ in headers):
            plain = [(name, _plain(value) if name == b"cookie" else value) for name, value in headers]
            scope = {**scope, "headers": plain}
        await self._app(scope, receive, send)


def _plain(cookies: bytes) -> bytes:
    return b"; ".join(pair for pair in map(bytes.strip, cookies.split(b";")) if _PLAIN_COOKIE.fullmatch(pair))


class SameOrigin:
    """Refuses changes that another site's page asks for.

    The browser's own word decides: ``Sec-Fetch-Site`` where it is sent, else ``Origin``. A request with
    neither does not come from a browser's page. The cookie is ``SameSite=Lax`` besides.
    """

    def __init__(self, app: ASGIApp, *, origin: str) -> None:
        self._app = app
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _SAFE_METHODS:
            headers = Headers(scope=scope)
            site, origin = headers.get("sec-fetch-site"), headers.get("origin")
            foreign = site not in ("same-origin", "none") if site else origin not in (None, self._origin)
            if foreign:
                refusal = PlainTextResponse("This request came from another site.", status_code=403)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


class ByName:
    """Sends a page asked for by a loopback address to the same page by name.

    Passkeys are bound to a domain, and browsers take no IP address for one.
    """

    def __init__(self, app: ASGIApp, *, origin: str) -> None:
        self._app = app
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            headers = Headers(scope=scope)
            host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
            if host in _LOOPBACK:
                target = scope.get("raw_path", b"/").decode("latin-1").partition("?")[0]
                query = scope["query_string"].decode("latin-1")
                url = f"{self._origin}/{target.lstrip('/')}" + (f"?{query}" if query else "")
                await RedirectResponse(url, status_code=307)(scope, receive, send)
                return
        await self._app(scope, receive, send)
