"""What a proof is bound to: the request and the details shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from .canonical import canonical_json, canonical_string, digest

Details = tuple[tuple[str, str], ...]
MAX_DETAILS = 64
MAX_DETAIL_LENGTH = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLine:
    """The request that a prompt is for.

    ``path`` is the decoded path as the server gave it, ``query`` the raw query string, ``body_digest``
    hexadecimal SHA-256 where the tag binds the body, else None.
    """

    method: str
    path: str
    query: str
    body_digest: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        return {
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "body_sha256": self.body_digest,
        }

    def text(self) -> str:
        """Return the canonical text of ``as_dict``."""
        text = canonical_string
        body = "null" if self.body_digest is None else text(self.body_digest)
        return (
            f'{{"body_sha256":{body},"method":{text(self.method)},"path":{text(self.path)},"query":{text(self.query)}}}'
        )

    def digest(self) -> bytes:
        return digest("stepup-request-v1", [self.method, self.path, self.query, self.body_digest])


def details_digest(details: Details) -> bytes:
    """Return the digest of the details, order included: they are what the person agreed to."""
    return digest("stepup-details-v1", details)


def check_details(value: object) -> Details:
    """Return details as a tuple of label/value pairs, or raise ``TypeError`` for anything else.

    Labels and values are strings: the app says how an amount reads, the library never formats one.
    """
    if type(value) is not tuple and type(value) is not list:
        if isinstance(value, Mapping):
            value = value.items()
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise TypeError("details are ordered pairs of label and value")
    pairs = []
    for pair in value:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError("each detail is a pair of label and value")
        label, text = pair
        if type(label) is not str or type(text) is not str:
            raise TypeError("labels and values of details are strings")
        if len(label) > MAX_DETAIL_LENGTH or len(text) > MAX_DETAIL_LENGTH:
            raise TypeError(f"a detail has at most {MAX_DETAIL_LENGTH} characters")
        if not (label.isascii() and text.isascii()):
            try:
                (label + text).encode("utf-8")
            except UnicodeEncodeError:
                raise TypeError("labels and values of details are text that UTF-8 can carry") from None
        pairs.append((label, text))
    if len(pairs) > MAX_DETAILS:
        raise TypeError(f"at most {MAX_DETAILS} details")
    return tuple(pairs)


def raw_body_digest(body: bytes) -> str:
    """Return the digest of a body that is bound byte for byte."""
    return sha256(b"stepup-body-v1\0" + body).hexdigest()


def form_digest(fields: Iterable[tuple[str, str, str]], ignored: frozenset[str]) -> str:
    """Return the digest of a form: ``(name, file name or "", hexadecimal SHA-256 of the value)`` in order.

    A browser that repeats a multipart form writes a new boundary, and a page that was rendered anew has
    a new anti-forgery field: neither is what the person agreed to, so the digest covers the fields and
    leaves out the ``ignored`` names.
    """
    kept = [list(entry) for entry in fields if entry[0] not in ignored]
    return sha256(b"stepup-form-v1\0" + canonical_json(kept).encode()).hexdigest()
