"""What a proof is bound to: the request as it came, in the words of RFC 9421, and the details shown."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from .canonical import canonical_json, canonical_string, digest

Details = tuple[tuple[str, str], ...]
MAX_DETAILS = 64
MAX_DETAIL_LENGTH = 2000


class Reached(NamedTuple):
    """The method, path and query at which an endpoint was reached, where something inside the app changed them."""

    method: str
    path: str
    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundRequest:
    """The request that a prompt is for: everything by which a framework routes and reads it.

    Nothing is normalised. ``authority`` has every ``Host`` line, ``path`` and ``query`` are those of the wire, as
    Latin-1 text; ``fields`` has every line of the headers that decide how a request is read, in their order, names
    in lower case. ``content_digest`` is the ``Content-Digest`` of the body (RFC 9530, ``sha-256=:…:``), None where
    the tag does not bind it. ``boundary_replaced``: the body is a multipart form that is not bound, or that everybody
    reads alike, and digest and ``content-type`` are those of the form with a boundary of our own in place of the
    browser's, which is a new one each time. ``reached`` is None where the endpoint was reached by what the wire said.
    """

    method: str
    path: str
    query: str = ""
    authority: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    content_digest: str | None = None
    boundary_replaced: bool = False
    reached: Reached | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the components by their names (RFC 9421 §2.2; ``@query`` with its question mark, §2.2.7)."""
        return {
            "@method": self.method,
            "@authority": list(self.authority),
            "@path": self.path,
            "@query": "?" + self.query,
            "content-digest": self.content_digest,
            "fields": [list(field) for field in self.fields],
            "boundary_replaced": self.boundary_replaced,
            "reached": None if self.reached is None else self.reached._asdict(),
        }

    def text(self) -> str:
        """Return the canonical text of ``as_dict``; a test compares the two."""
        text = canonical_string
        return (
            f'{{"@authority":{canonical_json(self.authority)},"@method":{text(self.method)},"@path":{text(self.path)}'
            f',"@query":{text("?" + self.query)},"boundary_replaced":{"true" if self.boundary_replaced else "false"}'
            f',"content-digest":{"null" if self.content_digest is None else text(self.content_digest)}'
            f',"fields":{canonical_json(self.fields)}'
            f',"reached":{"null" if self.reached is None else canonical_json(self.reached._asdict())}}}'
        )

    def digest(self) -> bytes:
        """Return the 32-byte digest that a token is bound to: of the canonical text."""
        return sha256(b"stepup-request-v2\0" + self.text().encode()).digest()


def bound_request_from(components: Mapping[str, Any]) -> BoundRequest:
    """Return the request of its ``as_dict``. Raises ``KeyError`` or ``TypeError`` for anything else."""
    reached = components["reached"]
    return BoundRequest(
        method=components["@method"],
        authority=tuple(components["@authority"]),
        path=components["@path"],
        query=components["@query"][1:],
        content_digest=components["content-digest"],
        fields=tuple((name, value) for name, value in components["fields"]),
        boundary_replaced=components["boundary_replaced"],
        reached=None if reached is None else Reached(**reached),
    )


def content_digest(sha256_digest: bytes) -> str:
    """Return a ``Content-Digest`` of the SHA-256 of a body (RFC 9530 §2)."""
    return f"sha-256=:{b64encode(sha256_digest).decode()}:"


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
            raise TypeError(f"each detail is a pair of label and value, such as ('Total', 'USD 7'), and not {pair!r}")
        label, text = pair
        if type(label) is not str or type(text) is not str:
            wrong = label if type(label) is not str else text
            raise TypeError(
                f"labels and values of details are strings, as the person shall read them: in ({label!r}, {text!r}) "
                f"{wrong!r} is {type(wrong).__name__}"
            )
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
