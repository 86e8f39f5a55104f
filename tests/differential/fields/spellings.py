"""Spellings of a form that deletes: as browsers write it, changed as the comparison of requests does, and soups."""

from __future__ import annotations

from random import Random
from urllib.parse import quote_plus

from tests.differential.grammar import BOUNDARIES, FILES, quoted
from tests.differential.mutations import KINDS, bodies, forms, headers
from tests.differential.wire import SERVERS, Multipart, Part, Wire

NAMES = ("action", "action", "action", "action", "index", "index", "_selected_action", "select_across", "a[]", "né")
ODD_NAMES = (*NAMES, "", " action", "action ")
VALUES = (
    "delete",
    "delete",
    "delete_selected",
    "select",
    "",
    "1",
    "a b",
    "é",
    "true",
    "null",
    "x=y&z",
    "日本",
    "a,delete",
    "1&action=delete&1",
)
TOKENS = (
    b"action", b"delete", b"=", b"=", b"&", b"&", b";", b"action=delete", b"action=select", b"&action=delete", b"%",
    b"%26action%3Ddelete", b"%3D", b"%26", b"%00", b"%0A", b"%20", b"+", b",", b"?", b"#", b"\r\n", b"\n", b" ", b"\0",
    b"%C3%A9", b"%E9", b"\xe9", b"\xc3\xa9", b"\xef\xbb\xbf", b"%EF%BB%BF", b"[", b"]", b"[0]", b"_charset_=utf-7",
    b"_charset_=", b"%u0061", b"\\", b'"', b"'", b"a%63tion", b"%61ction=%64elete", b"Action", b"+AGQ-", b"==", b"&&",
    b"*", b"~", b"%ED%A0%80", b"%F0%9F%98%80", b"%c3%a9", b"%1", b"%zz", b"select", b".", b"/",
)  # fmt: skip
URLENCODED = b"application/x-www-form-urlencoded"
KINDS_OF_A_PART = (
    b"text/plain",
    b"application/octet-stream",
    b"text/plain; charset=utf-8",
    b"text/plain; charset=utf-16",
    b"text/plain;charset=utf-7",
    b"text/plain; charset=iso-8859-1",
    b"application/json",
    URLENCODED,
)
CODED = (b"+AGQ-elete", b'"delete"', rb'"d\u0065lete"', "delete".encode("utf-16-le"), b"action=delete")
TYPES = (URLENCODED, URLENCODED, URLENCODED + b"; charset=UTF-8", URLENCODED + b";charset=utf-8", URLENCODED.upper())
CHANGES = [
    kind for kind in KINDS.values() if kind.change.__module__ in {m.__name__ for m in (bodies, forms, headers)}
] + [kind for kind in KINDS.values() if kind.change.__module__ == forms.__name__]


def spelling(rng: Random, path: str) -> Wire:
    """Return a request with fields in its query, its body, or both."""
    method = rng.choice((b"POST", b"POST", b"POST", b"POST", b"PUT", b"PATCH", b"DELETE", b"GET"))
    query = rng.choice((b"", b"", b"", _pairs(rng), _soup(rng).replace(b"#", b"")))
    target = path.encode() + (b"?" + query.translate(None, b" \r\n\0") if query else b"")
    wire = Wire(method, target, [(b"host", b"localhost:8000"), (b"accept", b"*/*")])
    wire.server = rng.choice(tuple(SERVERS))
    rng.choice((_urlencoded, _urlencoded, _in_parts, _in_parts, _soups, _nothing))(rng, wire)
    if rng.random() < 0.1:
        wire.framing = b"bare" if "h2" in wire.server else b"chunked"
    for _ in range(rng.choice((0, 0, 0, 0, 1, 1, 2, 3))):
        rng.choice(CHANGES).change(rng, wire)
    length = len(wire.body)
    if wire.body and rng.random() < 0.1:
        wire.put(b"content-type", rng.choice((*TYPES, b"text/plain", b"multipart/form-data; boundary=XB", None)))
    wire.cuts = tuple(sorted(rng.randint(0, length) for _ in range(rng.choice((0, 0, 1, 3)))))
    return wire


def _pairs(rng: Random) -> bytes:
    names = rng.choice((NAMES, NAMES, ODD_NAMES))
    pairs = [(rng.choice(names), rng.choice(VALUES)) for _ in range(rng.randint(0, 4))]
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs).encode()


def _soup(rng: Random) -> bytes:
    return b"".join(rng.choice(TOKENS) for _ in range(rng.randint(1, 9)))


def _urlencoded(rng: Random, wire: Wire) -> None:
    wire.content = _pairs(rng)
    wire.headers.append((b"content-type", rng.choice(TYPES)))


def _soups(rng: Random, wire: Wire) -> None:
    wire.content = _soup(rng)
    other = rng.choice((URLENCODED, URLENCODED + b"; charset=latin-1", b"text/plain", b"application/json"))
    wire.headers.append((b"content-type", rng.choice((*TYPES, other))))


def _in_parts(rng: Random, wire: Wire) -> None:
    boundary = rng.choice(BOUNDARIES)
    wire.content = Multipart(boundary, [_part(rng) for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 4)))])
    wire.headers.append((b"content-type", b"multipart/form-data; boundary=" + boundary))


def _part(rng: Random) -> Part:
    name = quoted(rng.choice(NAMES)) if rng.random() < 0.9 else _soup(rng).translate(None, b'\r\n\0"')
    line = b'Content-Disposition: form-data; name="' + name + b'"'
    content = rng.choice((rng.choice(VALUES).encode(), rng.choice(VALUES).encode(), _soup(rng)))
    if rng.random() < 0.6:
        return Part([line], content)
    file = quoted(rng.choice((*FILES, "x; name=action", "a.txt", "", "", "")))
    if rng.random() < 0.7:
        content = rng.choice(CODED)
    lines = [line + b'; filename="' + file + b'"', b"Content-Type: " + rng.choice(KINDS_OF_A_PART)]
    return Part(lines[: rng.choice((1, 2, 2, 2))], rng.choice((content, b"", rng.randbytes(20))))


def _nothing(rng: Random, wire: Wire) -> None:
    if rng.random() < 0.5:
        wire.headers.append((b"content-type", rng.choice((*TYPES, b"application/json"))))
