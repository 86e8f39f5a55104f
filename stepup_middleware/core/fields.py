"""The fields of a request, read only where nobody reads them in another way.

A form has many spellings besides the one that browsers write, and every framework takes some of them. Here the one is
read which all take alike, and everything else counts as not readable: a rule that decides by a field then asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote_to_bytes

from .multipart import StrictForm, boundary_of

# as browsers and URLSearchParams write pairs; no comma, at which Falcon may cut, and no semicolon, at which others may
_PAIRS = re.compile(rb"[A-Za-z0-9*._~!'()/:@$?+%-]+(?:=[A-Za-z0-9*._~!'()/:@$?+%-]*)?")
_BROKEN = re.compile(rb"%(?![0-9A-Fa-f]{2})")  # an escape
_URLENCODED = re.compile(rb"application/x-www-form-urlencoded(?:; ?charset=utf-8)?", re.IGNORECASE)
_PART = re.compile(
    rb'\r\nContent-Disposition: form-data; name="([A-Za-z0-9_.:@$/\[\]()*+ -]+)"'
    rb'(?:; filename="[^"\r\n\0\\;=]*"(?:\r\nContent-Type: ([^\r\n\0]+))?)?\r\n\r\n(.*)',
    re.DOTALL,
)
# what a browser says of a file that is text, or of which it knows nothing. A type that names another character set, or
# that some framework reads as data (Falcon: JSON), makes other values of the same bytes
_TEXT = re.compile(rb"(?:text/(?:plain|csv)(?:; ?charset=utf-8)?|application/octet-stream)", re.IGNORECASE)
_NAMED = re.compile(rb'\r\nContent-Disposition: form-data; name="([^"]*)"')
_KIND = re.compile(rb"\r\nContent-Type: ([^\r\n]+)")
_UNPRINTABLE = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MOST = 1000  # pairs: Django and Starlette take no more


class Fields:
    """Every value of every field in the query and in the form of a request.

    A name that came twice has all its values; one in the query and in the form has both. Ask with ``has``, which is
    true where *any* of them is the one looked for: a framework may read the first, the last, or all.
    """

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def has(self, name: str, *values: str) -> bool:
        """Whether a field came with one of these values; without values, whether it came at all."""
        found = self._values.get(name, ())
        return any(value in found for value in values) if values else bool(found)

    def values(self, name: str) -> tuple[str, ...]:
        """Return every value of a field, none if it did not come."""
        return tuple(self._values.get(name, ()))

    def names(self) -> tuple[str, ...]:
        """Return the names that came, each once."""
        return tuple(self._values)


def strict_fields(query: bytes, content_types: Sequence[bytes], body: bytes) -> Fields | None:
    """Return the fields of a query and a body, or None where somebody may read them in another way.

    A body is read that is a form as browsers write it, in UTF-8 and under one ``Content-Type``: urlencoded, or in
    parts without an ampersand. Of a file the content is its value, which is readable where it is text, and said to be
    nothing else. An empty body has no fields.
    """
    pairs = _pairs(query)
    if body:
        if len(content_types) != 1:
            return None
        if _URLENCODED.fullmatch(content_types[0]):
            more = _pairs(body)
        else:
            boundary = boundary_of(content_types[0])
            more = None if boundary is None else _parts(boundary, body)
        pairs = None if pairs is None or more is None else pairs + more
    if pairs is None or not all(_is_plain(name, value) for name, value in pairs):
        return None
    return Fields(pairs)


def form_values(content_types: Sequence[bytes], body: bytes) -> list[tuple[bytes, bytes | None]] | None:
    """Return every name in a form, with its value, as they stand; None where somebody may find other names in it.

    None also for one of more than 1,000 pairs, which are not taken apart before it is known who sends them. A value is
    None where it is coded in another way than the form. Unlike ``strict_fields`` it takes any value.
    """
    if not body:
        return []
    if len(content_types) != 1:
        return None
    if _URLENCODED.fullmatch(content_types[0]):
        return split_pairs(body)
    boundary = boundary_of(content_types[0])
    parts = None if boundary is None else _split(boundary, body)
    if parts is None:
        return None
    found: list[tuple[bytes, bytes | None]] = []
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        name, kind = _NAMED.match(head), _KIND.search(head)
        if name is None or (kind is not None and b"multipart" in kind[1].lower()):
            return None
        found.append((name[1], content if kind is None or _TEXT.fullmatch(kind[1]) else None))
    return found


def split_pairs(text: bytes) -> list[tuple[bytes, bytes | None]] | None:
    """Return names and values as they stand, split wherever somebody splits them: at a semicolon or not.

    None for more than 1,000 of them.
    """
    if text.count(b"&") + text.count(b";") >= _MOST:
        return None
    pairs = (pair for each in text.split(b"&") for pair in dict.fromkeys((each, *each.split(b";"))))
    return [(name, value) for name, _, value in (pair.partition(b"=") for pair in pairs)]


def _pairs(text: bytes) -> list[tuple[str, str]] | None:
    """Return the pairs of urlencoded text (WHATWG URL §5.1), None where it has another form than browsers give it."""
    if not text:
        return []
    found = text.split(b"&", _MOST)
    if len(found) > _MOST or _BROKEN.search(text) or not all(map(_PAIRS.fullmatch, found)):
        return None
    try:
        return [(_decoded(name), _decoded(value)) for name, _, value in (each.partition(b"=") for each in found)]
    except UnicodeDecodeError:
        return None


def _decoded(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode()


def _parts(boundary: bytes, body: bytes) -> list[tuple[str, str]] | None:
    """Return the fields of a form in parts (RFC 7578), None where it has another form than browsers give it."""
    parts = _split(boundary, body)
    if parts is None or b"&" in body:
        return None  # Litestar reads pairs out of any body where an endpoint says that it is urlencoded
    found = []
    for part in parts:
        read = _PART.fullmatch(part)
        if read is None or (read[2] is not None and _TEXT.fullmatch(read[2]) is None):
            return None
        try:
            found.append((read[1].decode(), read[3].decode()))
        except UnicodeDecodeError:
            return None
    return found


def _split(boundary: bytes, body: bytes) -> list[bytes] | None:
    """Return the parts of a form, heads included, None where somebody may split it in another way."""
    form = StrictForm(boundary)
    form.feed(body)
    return None if form.digest() is None else (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]


def _is_plain(name: str, value: str) -> bool:
    """Whether nobody drops a part of it; ``_charset_`` would name another character set (HTML §4.10.18)."""
    return (
        name != "_charset_"
        and name == name.strip()
        and name.isprintable()
        and _UNPRINTABLE.search(value) is None
        and not value.startswith("\ufeff")
    )
