"""What a proof is bound to: the request as it came, in the words of RFC 9421, and the details shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import unquote

from .canonical import canonical_json, canonical_string, digest

Details = tuple[tuple[str, str], ...]
MAX_DETAILS = 64
MAX_DETAIL_LENGTH = 2000


Lines = tuple[tuple[str, str], ...]


class Reached(NamedTuple):
    """How the gate finds the request, in what does not follow from how it came; None where it does.

    ``method``, ``root_path``, ``path``, ``raw_path`` and ``query`` are those of the gate's scope (ASGI's words), where
    something changed them: a mount, a middleware inside the app, or one outside that changed the path and left its raw
    form. ``raw_path`` is empty where the scope has none. ``authority`` and ``fields`` are those of its headers.
    ``framework`` is the method and path of the framework's own request object, ``reading`` what else a framework reads
    values by, by name: the language, the time zone.
    """

    method: str | None = None
    root_path: str | None = None
    path: str | None = None
    raw_path: str | None = None
    query: str | None = None
    authority: tuple[str, ...] | None = None
    fields: Lines | None = None
    framework: tuple[str, str] | None = None
    reading: Lines | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what does not follow, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}


NOWHERE_ELSE = Reached()


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundRequest:
    """The request that a prompt is for: everything by which a framework routes and reads it.

    Nothing is normalised. ``authority`` has every ``Host`` line, ``path`` and ``query`` are those of the wire, as
    Latin-1 text, ``root_path`` that of the server; ``fields`` has every line of the headers that decide how a request
    is read, in their order, names in lower case. ``content_digest`` is the ``Content-Digest`` of the body (RFC 9530,
    ``sha-256=:…:``), None where the tag does not bind it. ``boundary_replaced``: the body is a multipart form that is
    not bound, or that everybody reads alike, and digest and ``content-type`` are those of the form with a boundary of
    our own in place of the browser's, which is a new one each time. ``reached`` is None where all that the gate finds
    follows from the rest.
    """

    method: str
    path: str
    query: str = ""
    root_path: str = ""
    authority: tuple[str, ...] = ()
    fields: Lines = ()
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
            "reached": None if self.reached is None else self.reached.as_dict(),
            "root_path": self.root_path,
        }

    def text(self) -> str:
        """Return the canonical text of ``as_dict``; a test compares the two."""
        text = canonical_string
        return (
            f'{{"@authority":{canonical_json(self.authority)},"@method":{text(self.method)},"@path":{text(self.path)}'
            f',"@query":{text("?" + self.query)},"boundary_replaced":{"true" if self.boundary_replaced else "false"}'
            f',"content-digest":{"null" if self.content_digest is None else text(self.content_digest)}'
            f',"fields":{canonical_json(self.fields)}'
            f',"reached":{"null" if self.reached is None else canonical_json(self.reached.as_dict())}'
            f',"root_path":{text(self.root_path)}}}'
        )

    def digest(self) -> bytes:
        """Return the 32-byte digest that a token is bound to: of the canonical text."""
        return request_digest(self.text())

    def place(self) -> tuple[Any, ...]:
        """Return where the request ended up: all of it but at which split of its path an app is mounted.

        The raw path is part of it, for some frameworks route by that one; they take the path where there is none.
        """
        there = self.reached or NOWHERE_ELSE
        root = self.root_path if there.root_path is None else there.root_path
        path = unquote(self.path) if there.path is None else there.path
        method = self.method if there.method is None else there.method
        whole = joined(root, path)
        line = (method, whole) if there.framework is None else there.framework
        raw = self.path if there.raw_path is None else there.raw_path or whole
        return (*line, raw, self.query if there.query is None else there.query, there.authority, there.fields)


def request_digest(text: str) -> bytes:
    """Return the ``digest`` of the request that has this ``text``."""
    return sha256(b"stepup-request-v3\0" + text.encode()).digest()


def bound_request_from(components: Mapping[str, Any]) -> BoundRequest:
    """Return the request of its ``as_dict``. Raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything else."""
    reached = components["reached"]
    request = BoundRequest(
        method=components["@method"],
        authority=tuple(components["@authority"]),
        path=components["@path"],
        query=components["@query"][1:],
        content_digest=components["content-digest"],
        fields=tuple((name, value) for name, value in components["fields"]),
        boundary_replaced=components["boundary_replaced"],
        reached=None if reached is None else _reached_from(reached),
        root_path=components["root_path"],
    )
    _need_texts(*request.authority, *chain.from_iterable(request.fields))
    return request


def _reached_from(components: Mapping[str, Any]) -> Reached:
    values = dict(components)
    for name, value in components.items():
        match name:
            case "authority":
                values[name] = texts = tuple(value)
            case "framework":
                method, path = value
                values[name] = texts = (method, path)
            case "fields" | "reading":
                values[name] = tuple((one, other) for one, other in value)
                texts = tuple(chain.from_iterable(value))
            case _:
                texts = (value,)
        _need_texts(*texts)
    return Reached(**values)


def _need_texts(*values: object) -> None:
    if not all(isinstance(value, str) for value in values):
        raise TypeError("a member of a request that is a text is none")


def joined(root_path: str, path: str) -> str:
    """Return the whole path of a scope: some servers and frameworks give the root path apart, others in the path."""
    return path if not root_path or path.startswith(root_path) else root_path + path


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
