"""The kinds of mutation, by name, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.differential.wire import Multipart, Wire

Change = Callable[[Random, Wire], bool]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of mutation. ``change`` changes a request and says whether it could.

    ``framework`` is the one in which the kind says something (empty: in each), ``sockets`` False for what the servers
    of this suite do not take from a client.
    """

    name: str
    may_collide: bool
    change: Change
    framework: str = ""
    sockets: bool = True


KINDS: dict[str, Kind] = {}


def may(name: str) -> Callable[[Change], Change]:
    """Register a kind that may leave a request the same one."""
    return _registering(name, may_collide=True)


def never(name: str, *, framework: str = "", sockets: bool = True) -> Callable[[Change], Change]:
    """Register a kind that makes another request."""
    return _registering(name, may_collide=False, framework=framework, sockets=sockets)


def _registering(
    name: str, *, may_collide: bool, framework: str = "", sockets: bool = True
) -> Callable[[Change], Change]:
    def register(change: Change) -> Change:
        KINDS[name] = Kind(name, may_collide, change, framework, sockets)
        return change

    return register


def form_of(wire: Wire) -> Multipart | None:
    """Return the multipart body of a request, if it has one."""
    return wire.content if isinstance(wire.content, Multipart) else None


def change_type(wire: Wire, change: Callable[[bytes], bytes]) -> bool:
    """Change the content type; False where there is none, or nothing is changed."""
    old = wire.header(b"content-type")
    if old is None or (new := change(old)) == old:
        return False
    wire.put(b"content-type", new)
    return True


def rename(wire: Wire, new: bytes) -> bool:
    """Give a form another boundary, in its header and its body."""
    form = form_of(wire)
    if form is None or new == form.boundary:
        return False
    old, form.boundary = form.boundary, new
    return change_type(wire, lambda value: value.replace(b"boundary=" + old, b"boundary=" + new))


def double(wire: Wire, name: bytes, value: bytes, *, before: bool) -> None:
    """Add a line of a header, before its first one or after it."""
    at = next((n for n, line in enumerate(wire.headers) if line[0].lower() == name), len(wire.headers))
    wire.headers.insert(at if before else at + 1, (name, value))


def layered(wire: Wire) -> bool:
    """Whether a layer changes a part of the scope, so that a further change may have no effect."""
    return any(name.lower().startswith((b"x-inside-", b"x-outside-")) for name, _ in wire.headers)


def kinds_elsewhere(framework: str) -> frozenset[str]:
    """Return the kinds that say nothing in a framework."""
    return frozenset(kind.name for kind in KINDS.values() if kind.framework not in ("", framework))
