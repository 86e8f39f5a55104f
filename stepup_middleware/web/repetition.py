"""How a page of ours repeats the request that it was the answer to: exactly, or not at all, with the reason.

The page writes the form that was sent into hidden fields. Whether a browser makes the same request of them is not
guessed: what it would send is written here as browsers write it (WHATWG URL §5.2, HTML §4.10.21), and compared with
what came. Where it is not the same, the person is told to go back and send it again, and why.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote_plus, unquote_to_bytes

from stepup_middleware.core.binding import BoundRequest
from stepup_middleware.core.multipart import OURS, REPLACED, StrictForm, boundary_of
from stepup_middleware.request.body import BodyDigest
from stepup_middleware.request.bound import below_root

MAX_FIELDS = 1000
PARSED_ASIDE = 16 * 1024  # bytes of a form beyond which the event loop does not wait for it
LONGEST_ORIGINAL = 32 * 1024  # characters of a form that a page without a script hands on to the next one
URL_ENCODED = b"application/x-www-form-urlencoded"
MULTIPART = b"multipart/form-data"

_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_PART = re.compile(
    rb'\r\nContent-Disposition: form-data; name="([^"]*)"(?:; filename="([^"]*)")?(?:\r\nContent-Type: ([^\r\n]+))?'
    rb"\r\n\r\n(.*)",
    re.DOTALL,
)

if TYPE_CHECKING:
    from stepup_middleware.languages import Texts


class Reason(StrEnum):
    """Why a page cannot make the same request again: the end of a sentence for the person."""

    FILE = "the form you sent had a file, and a file cannot wait on this page: choose it again"
    CHARSET = "the form you sent is written in another character set than UTF-8, which this page cannot write"
    ENCODING = "what you sent is written in a way that this page cannot write again"
    TOO_LARGE = "the form you sent is larger than this page can keep"
    TOO_MANY = f"the form you sent has more than {MAX_FIELDS} fields, more than this page can keep"
    CHANGED = "the form you sent has characters that this page cannot write again exactly"


class Field(NamedTuple):
    """A field of a form. ``empty_file``: an input for a file, with none chosen."""

    name: str
    value: str
    empty_file: bool = False


class NotRepeatable(Exception):
    """The page cannot make the same request again."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """What a page needs to repeat a request. ``reason`` says why it cannot, None where it can."""

    fields: tuple[Field, ...] = ()
    multipart: bool = False
    reason: Reason | None = None

    @property
    def original(self) -> str:
        """The form, or the reason, as a page without a script hands it on to the next one."""
        if self.reason is None:
            text = json.dumps([self.multipart, self.fields], ensure_ascii=True, separators=(",", ":"))
            if len(text) <= LONGEST_ORIGINAL:
                return text
        return json.dumps([(self.reason or Reason.TOO_LARGE).name])


NO_FORM = Repetition()


async def repetition_of(body: bytes | None, content_types: Sequence[bytes]) -> Repetition:
    """Return how a form that was sent is repeated. ``body`` is None where it was not kept. Parses long ones aside."""
    try:
        if body is None:
            raise NotRepeatable(Reason.TOO_LARGE)
        if len(body) > PARSED_ASIDE:
            return await asyncio.to_thread(_repetition, body, content_types)
        return _repetition(body, content_types)
    except NotRepeatable as error:
        return Repetition(reason=error.reason)


def handed_on(original: str, request: BoundRequest) -> Repetition:
    """Return the repetition that a page handed on, if what a browser makes of it is the request that was proved."""
    try:
        told = json.loads(original)
        if len(told) == 1:
            return Repetition(reason=Reason[told[0]])
        multipart, fields = told
        read = tuple(Field(str(name), str(value), bool(empty)) for name, value, empty in fields)
        written = _written(read, multipart=bool(multipart))
    except (ValueError, TypeError, KeyError, RecursionError):
        return Repetition(reason=Reason.TOO_LARGE)
    except NotRepeatable as error:
        return Repetition(reason=error.reason)
    body = BodyDigest([b"multipart/form-data; boundary=" + OURS if multipart else URL_ENCODED])
    body.feed(written)
    whole = body.whole()
    digest = (whole.canonical if multipart else None) or whole.as_it_came
    types = [value for name, value in request.fields if name == "content-type"]
    if request.content_digest not in (None, digest) or types != [(REPLACED if multipart else URL_ENCODED).decode()]:
        return Repetition(reason=Reason.CHANGED)
    return Repetition(fields=read, multipart=bool(multipart))


def repeat_view(request: BoundRequest, repetition: Repetition, texts: Texts, *, root_path: str) -> dict[str, Any]:
    """Return what the templates show of how a page repeats the request after the proof."""
    url = below_root(request.path, root_path).replace("\\", "%5C")  # which browsers read as a slash
    if url.startswith("//"):
        url = "/." + url  # as it stands it would be read as another host (RFC 3986 §4.2, §6.2.2.3)
    if request.query:
        url += "?" + request.query
    return {
        "method": request.method,
        "url": url,
        "enctype": (MULTIPART if repetition.multipart else URL_ENCODED).decode(),
        "fields": repetition.fields,
        "original": repetition.original,
        "reason": repetition.reason and texts(repetition.reason.value),
    }


def _repetition(body: bytes, content_types: Sequence[bytes]) -> Repetition:
    if len(content_types) != 1:
        raise NotRepeatable(Reason.ENCODING)
    (content_type,) = content_types
    boundary = boundary_of(content_type)
    if content_type == URL_ENCODED:
        fields = _urlencoded(body)
        if _written(fields, multipart=False) != body:
            raise NotRepeatable(Reason.CHANGED)
        return Repetition(fields=fields)
    if boundary is None:
        raise NotRepeatable(Reason.ENCODING)
    fields = _multipart(body, boundary)
    if _canonical(_written(fields, multipart=True), OURS) != _canonical(body, boundary):
        raise NotRepeatable(Reason.CHANGED)
    return Repetition(fields=fields, multipart=True)


def _canonical(body: bytes, boundary: bytes) -> bytes:
    form = StrictForm(boundary)
    form.feed(body)
    digest = form.digest()
    if digest is None:
        raise NotRepeatable(Reason.ENCODING)
    return digest


def _urlencoded(body: bytes) -> tuple[Field, ...]:
    if body.count(b"&") >= MAX_FIELDS:
        raise NotRepeatable(Reason.TOO_MANY)
    pairs = [pair.replace(b"+", b" ").partition(b"=") for pair in body.split(b"&")] if body else []
    return tuple(Field(_text(unquote_to_bytes(name)), _text(unquote_to_bytes(value))) for name, _, value in pairs)


def _multipart(body: bytes, boundary: bytes) -> tuple[Field, ...]:
    if body.count(b"--" + boundary) > MAX_FIELDS + 1:  # the last one ends the form
        raise NotRepeatable(Reason.TOO_MANY)
    _canonical(body, boundary)  # of the strict form, so that it can be split
    parts = body.split(b"--" + boundary)[1:-1]
    return tuple(_field(part) for part in parts)


def _field(part: bytes) -> Field:
    found = _PART.fullmatch(part.removesuffix(b"\r\n"))
    if found is None:
        raise NotRepeatable(Reason.ENCODING)
    name, file, kind, content = found.groups()
    for mark, meant in ((b"%0D", b"\r"), (b"%0A", b"\n"), (b"%22", b'"')):
        name = name.replace(mark, meant)
    if file is not None:
        if file or content or kind != b"application/octet-stream":
            raise NotRepeatable(Reason.FILE)
        return Field(_text(name), "", empty_file=True)
    return Field(_text(name), _text(content))


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise NotRepeatable(Reason.CHARSET) from None


def _written(fields: Sequence[Field], *, multipart: bool) -> bytes:
    """Return the body that a browser sends for hidden fields of a page in UTF-8, with our boundary."""
    entries = [entry for entry in map(_entry, fields) if entry.name]  # fields without a name are not sent
    if multipart:
        return b"".join(map(_part, entries)) + b"--" + OURS + b"--\r\n"
    return "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value, _ in entries).encode()


def _entry(field: Field) -> Field:
    """Return what becomes of a field on its way through the markup and into the entry list of a form."""
    name, value = (_LINE_ENDS.sub("\r\n", text.replace("\0", "\N{REPLACEMENT CHARACTER}")) for text in field[:2])
    if name.lower() == "_charset_" and not field.empty_file:
        value = "UTF-8"
    return Field(name, value, field.empty_file)


def _escaped(text: str) -> str:
    return quote_plus(text, safe="*-._").replace("~", "%7E")


def _part(entry: Field) -> bytes:
    name = entry.name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
    file = '; filename=""\r\nContent-Type: application/octet-stream' if entry.empty_file else ""
    return f'--{OURS.decode()}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n{entry.value}\r\n'.encode()
