"""A multipart form with another boundary: the one canonicalisation of a body.

A browser writes a multipart form with a new boundary each time, so that the same form has other bytes. The digest
of such a form is taken as if its boundary were ours, but only of the one form of it that no parser splits in
another way whatever the boundary is. Everything else is bound by the bytes as they came.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from hashlib import sha256

OURS = b"stepup-boundary"  # in place of the browser's
REPLACED = b"multipart/form-data; boundary=" + OURS
LONGEST_HEAD = 8192  # bytes of the headers of a part
MOST_PARTS = 1000  # a form with more is bound as it came: Django and Starlette take no more than a thousand fields
PIECES = 64  # half parts that are read before the event loop runs again

_CONTENT_TYPE = re.compile(rb"multipart/form-data; boundary=([A-Za-z0-9_-]{1,70})")
_HEAD = re.compile(
    rb'\r\nContent-Disposition: form-data; name="[^"\r\n\0]*"(?:; filename="[^"\r\n\0]*")?\r\n'
    rb"(?:Content-Type: [^\r\n\0]+\r\n)?\r\n"
)


def boundary_of(content_type: bytes) -> bytes | None:
    """Return the boundary of a content type that is exactly as browsers write it, None for any other."""
    found = _CONTENT_TYPE.fullmatch(content_type)
    return found[1] if found is not None and found[1].strip(b"-") else None


class _State(Enum):
    START = auto()
    PART = auto()  # a delimiter's boundary was read
    CONTENT = auto()
    END = auto()
    OTHER = auto()  # not of the strict form


class StrictForm:
    """The SHA-256 of a form with our boundary, taken while the body passes.

    The strict form: ``--boundary CRLF``, then parts of exactly ``Content-Disposition`` (name, perhaps file name) and
    perhaps ``Content-Type``, an empty line and the content, ``CRLF --boundary`` between them and ``-- CRLF`` at the
    end; nothing before, between or after; the boundary's text without its leading dashes nowhere else, nor ours; at
    most ``MOST_PARTS`` parts. Keeps no more than one chunk and the headers of a part.
    """

    __slots__ = ("_between", "_core", "_hash", "_parts", "_rest", "_state")

    def __init__(self, boundary: bytes) -> None:
        self._between = b"\r\n--" + boundary
        self._core = boundary.lstrip(b"-")
        self._hash = sha256()
        self._parts = 0
        self._rest = bytearray()
        self._state = _State.START

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body, all at once."""
        more = self.take(chunk)
        while more:
            more = self.take(b"")

    def take(self, chunk: bytes | memoryview) -> bool:
        """Take the next bytes of the body, and read ``PIECES`` pieces of what is there; True: there may be more."""
        if self._state is not _State.OTHER:
            self._rest += chunk
        return all(self._step() for _ in range(PIECES))

    def digest(self) -> bytes | None:
        """Return the digest of the whole body, None when it is not of the strict form."""
        return self._hash.digest() if self._state is _State.END else None

    def _step(self) -> bool:
        """Read the next piece; False when there is none or when it takes more bytes."""
        match self._state:
            case _State.PART:
                return self._part()
            case _State.CONTENT:
                return self._content()
            case _State.START:
                return self._start()
            case _State.END:
                return self._other() if self._rest else False
        return False

    def _start(self) -> bool:
        first = self._between[2:]
        if len(self._rest) < len(first):
            return False
        if not self._rest.startswith(first):
            return self._other()
        return self._took(len(first), b"--" + OURS, _State.PART)

    def _part(self) -> bool:
        rest = self._rest
        if rest.startswith(b"--\r\n"):
            return self._took(4, b"--\r\n", _State.END)
        end = rest.find(b"\r\n\r\n", 0, 2 + LONGEST_HEAD)
        if end < 0:
            return len(rest) >= 2 + LONGEST_HEAD and self._other()
        head = bytes(rest[: end + 4])
        self._parts += 1
        if self._parts > MOST_PARTS or _HEAD.fullmatch(head) is None or self._core in head or OURS in head:
            return self._other()
        return self._took(len(head), head, _State.CONTENT)

    def _content(self) -> bool:
        rest, between = self._rest, self._between
        found = rest.find(self._core)
        if found < 0:
            passed = len(rest) - max(len(between), len(OURS))
            if OURS in rest:
                return self._other()
            if passed > 0:
                self._took(passed, bytes(rest[:passed]), _State.CONTENT)
            return False
        end = found + len(self._core) - len(between)
        if end < 0 or not rest.startswith(between, end) or rest.find(OURS, 0, end) >= 0:
            return self._other()
        return self._took(end + len(between), bytes(rest[:end]) + b"\r\n--" + OURS, _State.PART)

    def _took(self, length: int, text: bytes, state: _State) -> bool:
        self._hash.update(text)
        del self._rest[:length]
        self._state = state
        return True

    def _other(self) -> bool:
        self._rest.clear()
        self._state = _State.OTHER
        return False
