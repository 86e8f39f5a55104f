"""What decides how a request is read besides its target and body: splits of its path, layers, languages, trailers."""

from __future__ import annotations

from random import Random

from tests.differential.apps import OPEN
from tests.differential.wire import Wire

from .kinds import double, layered, may, never

LANGUAGES = (b"de", b"fr", b"en", b"de-CH")


def _mounted_at(wire: Wire) -> str:
    """Return a root path below which the rest of the target is one as well."""
    before, slash, _ = wire.target.partition(b"/p/")
    return (before + b"/p").decode("latin-1") if slash else "/layer"


@never("root path of the server", sockets=False)
def _(rng: Random, wire: Wire) -> bool:
    first = "/".join(wire.target.decode("latin-1").split("/")[:2])
    old, wire.root_path = wire.root_path, rng.choice(("", "/app", first, _mounted_at(wire)))
    return wire.root_path != old


def _by_layer(rng: Random, wire: Wire, prefix: bytes) -> bool:
    """Let a layer set a part of the scope by a header that the library has never heard of."""
    rewritten = wire.header(b"x-original-url") or wire.header(b"x-rewrite-url")
    if not wire.target.startswith(b"/") or rewritten or layered(wire) or wire.method == b"GET":
        return False
    way = wire.target.split(b"/")[1]
    if way == OPEN.encode():
        return False  # a rule stands before what a layer inside changes
    name, value = rng.choice(
        (
            (b"path", b"/" + way + b"/x/layer%d" % rng.randrange(9)),
            (b"raw", b"/" + way + b"/x/raw%d" % rng.randrange(9)),
            (b"root", b"/layer"),
            (b"root", _mounted_at(wire).encode("latin-1") + b"/"),
            (b"method", b"GET"),  # which no override makes of a request
            (b"query", b"layer=%d" % rng.randrange(9)),
            (b"type", b"text/x-layer"),
            (b"host", b"layer.example"),
        )
    )
    wire.headers.append((prefix + name, value))
    return True


@never("scope changed outside the middleware")
def _(rng: Random, wire: Wire) -> bool:
    return wire.stack == "outside" and _by_layer(rng, wire, b"x-outside-")


@never("scope changed inside the middleware")
def _(rng: Random, wire: Wire) -> bool:
    return wire.stack == "layered" and _by_layer(rng, wire, b"x-inside-")


@may("trailers")
def _(rng: Random, wire: Wire) -> bool:
    if not wire.body:
        return False
    lines = (
        (b"content-type", b"application/json"),
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-encoding", b"gzip"),
        (b"x-http-method-override", b"DELETE"),
        (b"x-inside-path", b"/body/x/trailer"),
        (b"host", b"admin.example"),
        (b"accept-language", b"de"),
        (b"x-checksum", b"1"),
    )
    wire.trailers = tuple(rng.sample(lines, rng.randint(1, 3)))
    return True


@never("language that is accepted")
def _(rng: Random, wire: Wire) -> bool:
    old, value = wire.header(b"accept-language"), rng.choice((*LANGUAGES, b"fr, en;q=0.5", None))
    if value is not None and rng.random() < 0.2:
        double(wire, b"accept-language", value, before=rng.random() < 0.5)
        return True
    wire.put(b"accept-language", value)
    return value != old


@never("language by a cookie", framework="django")
def _(rng: Random, wire: Wire) -> bool:
    double(wire, b"cookie", b"django_language=" + rng.choice(LANGUAGES) + b"; a=b", before=rng.random() < 0.5)
    return True


@never("time zone by a cookie of the app", framework="django")
def _(rng: Random, wire: Wire) -> bool:
    if any(b"tz=" in value for name, value in wire.headers if name == b"cookie"):
        return False
    double(wire, b"cookie", b"tz=" + rng.choice((b"Asia/Tokyo", b"America/New_York")), before=True)
    return b"/" + OPEN.encode() not in wire.target  # in any form; a rule stands before what sets the time zone


@never("what is said of the body")
def _(rng: Random, wire: Wire) -> bool:
    name, value = rng.choice(
        (
            (b"content-language", b"de"),
            (b"content-disposition", b'attachment; filename="b.txt"'),
            (b"content-range", b"bytes 0-1/2"),
            (b"content-location", b"/other"),
            (b"content-transfer-encoding", b"base64"),
            (b"content_range", b"bytes 0-1/2"),
        )
    )
    double(wire, name, value, before=rng.random() < 0.5)
    return True


@never("what a person wrote or pressed")
def _(rng: Random, wire: Wire) -> bool:
    name = rng.choice((b"hx-prompt", b"hx-trigger", b"hx-trigger-name", b"hx-target", b"hx-source"))
    double(wire, name, rng.choice((b"1000", b"delete", b"")), before=rng.random() < 0.5)
    return True
