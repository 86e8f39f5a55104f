"""Hostile spellings of tagged paths, sent through every framework: whatever its router makes of them.

No request has a proof, so no endpoint may run; and none may be answered with a fault of the server.
"""

from __future__ import annotations

import asyncio
import logging
import random
import string
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from stepup_middleware.asgi import KEY, ASGIApp, Message, Scope
from tests.frameworks.apps import FRAMEWORKS
from tests.frameworks.site import Site, life

PATHS = ("/function", "/class", "/inside", "/sync", "/bound", "/stream", "/background", "/ruled/x")
RULED = "/ruled"  # by a rule for POST, which leaves the other methods of an app that does not mind them
METHODS = ("POST",) * 8 + ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post", "Post", "PROPFIND", "TRACE")
OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")
REWRITES = ("x-original-url", "x-rewrite-url", "x-forwarded-uri", "x-forwarded-prefix", "x-forwarded-path")
_PIECES = (
    "/", "//", "/./", "/../", "/x/../", "\\", ";", ";a=1", "?", "#", "#f", "%00", "%0a", "%0d%0a", "%09", "%20",
    "%2f", "%2F", "%5c", "%3f", "%23", "%3b", "%2e", "%2e%2e/", "%252f", "%252e%252e%252f", "%c0%af", "%ef%bc%8f",
    "%e2%80%8b", "+", "*", ".", "..", "...", "~", "//evil.example", "/%", "%", "%zz", "%u002f", "\n", "\t", "\x00",
)  # fmt: skip


def spelled(path: str, chance: random.Random) -> str:
    """Return a target that some router, server or proxy might take for ``path``."""
    target = path
    for _ in range(chance.randint(1, 4)):
        place = chance.randint(0, len(target))
        match chance.randrange(10):
            case 0:
                target = target[:place] + chance.choice(_PIECES) + target[place:]
            case 1:
                target += chance.choice(_PIECES)
            case 2:
                target = chance.choice(_PIECES) + target
            case 3:  # a character that is written as an escape, in either case
                letter = target[place : place + 1]
                escape = "".join(f"%{byte:02x}" for byte in letter.encode("utf-8", "replace"))
                target = target[:place] + chance.choice((escape, escape.upper())) + target[place + 1 :]
            case 4:
                target = target[:place] + target[place : place + 1].swapcase() + target[place + 1 :]
            case 5:
                target = quote(target, safe="/")
            case 6:
                target = "".join(
                    f"%{ord(letter):02x}" if letter in string.ascii_letters else letter for letter in target
                )
            case 7:
                target = chance.choice(("http://x", "https://evil.example:99", "//x", "http:")) + target
            case 8:
                target = chance.choice(("/open/..", "/open/../", "/./.", "/open;/..", "/open%2f..")) + target
            case _:
                target = target.rstrip("/") + "/"
    return target


def request(chance: random.Random, number: int) -> Scope:
    """Return the scope of a request without a proof, as one server or another would make it."""
    meant = chance.choice(PATHS)
    target = spelled(meant, chance)
    if not target.startswith(("/", "http:")):
        target = "/" + target  # RFC 9112 §3.2: what begins otherwise comes through no server
    raw, _, query = target.partition("?")
    if chance.random() < 0.5:
        raw = raw.partition("#")[0]
    path = unquote_to_bytes(raw).decode("utf-8", "replace")
    headers = [
        (b"host", b"localhost:8000"),
        (b"accept", chance.choice((b"application/json", b"text/html", b"*/*"))),
        (b"cookie", b"session=ada-%d" % (number // 20)),
        (b"origin", b"http://localhost:8000"),
        (b"sec-fetch-site", b"same-origin"),
        (b"content-length", b"0"),
    ]
    if chance.random() < 0.2:
        headers.append((chance.choice(OVERRIDES).encode(), chance.choice(METHODS).encode()))
    if chance.random() < 0.2:
        headers.append((chance.choice(REWRITES).encode(), chance.choice((*PATHS, "/open")).encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "http",
        "method": chance.choice(("POST", "post", "Post") if meant.startswith(RULED) else METHODS),
        "path": path or "/",
        "raw_path": raw.encode("latin-1", "replace"),
        "query_string": query.encode("latin-1", "replace"),
        "root_path": chance.choice(("",) * 6 + ("/api", "/open")),
        "headers": headers,
        "client": ("192.0.2.1", 5000),
        "server": ("localhost", 8000),
        "state": {},
    }


async def answered(app: ASGIApp, scope: Scope) -> int:
    """Return the status that an app answers with to a request whose client waits; 0 for no answer."""
    body = [{"type": "http.request", "body": b"", "more_body": False}]
    statuses = [0]

    async def receive() -> Message:
        if body:
            return body.pop()
        await asyncio.Event().wait()
        raise AssertionError("nobody leaves")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    with suppress(Exception):  # what a server would log; the client is told by the status
        await app(scope, receive, send)
    return statuses[-1]


async def tried(framework: str, folder: Path, *, seconds: float, most: int, seed: int) -> tuple[int, str]:
    """Send requests for so long, or so many, and return their number and the first that got past or failed."""
    chance = random.Random(seed)  # noqa: S311 - the same spellings again for the same seed
    site = Site(str(folder / f"{framework}.db"), frameworks=(framework,))
    app, end, number = site.apps[framework], time.monotonic() + seconds, 0
    async with site.stepup, AsyncExitStack() as stack:
        await stack.enter_async_context(life(app))
        while number < most and time.monotonic() < end:
            number += 1
            scope = request(chance, number)
            seen = f"{scope['method']} {scope['path']!r} root {scope['root_path']!r} {scope['headers'][6:]}"
            status = await answered(app, scope)
            if site.runs:
                return number, f"{seen}: ran {dict(site.runs)}"
            if (
                not 200 <= status < 500 and scope[KEY].guarded is not None
            ):  # else no gate was asked: the framework fails by itself
                return number, f"{seen}: answered with {status}"
    return number, ""


def run(seconds: float, *, most: int = 10**9, seed: int = 0) -> dict[str, tuple[int, str]]:
    """Try every framework for its part of the time."""
    logging.disable(logging.CRITICAL)  # what frameworks say of odd paths
    try:
        with tempfile.TemporaryDirectory(prefix="spellings-") as folder:
            return {
                name: asyncio.run(tried(name, Path(folder), seconds=seconds / len(FRAMEWORKS), most=most, seed=seed))
                for name in FRAMEWORKS
            }
    finally:
        logging.disable(logging.NOTSET)
