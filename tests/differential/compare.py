"""The comparison in process: pairs of requests, what each counts as, and what an endpoint was handed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Any

import httptools

from .apps import BOUND
from .grammar import batch, honest
from .mutations import KINDS, MAY, Kind, kinds_elsewhere, mutated
from .stack import STACKS, BrokenPromise, Echo
from .wire import Multipart, Wire, scope_of

VARIANTS = 8  # of one honest request
MOST_DIFFERENCES = 20  # then the rest is not looked for
MOST_REFUSED = 200  # requests at the beginning: an app in which none of them runs compares nothing
MOST_TRIES = 12  # pairs for each that has to be counted as one request


@dataclass(slots=True)
class Difference:
    """Two requests that count as one and were read in two ways, or of which one must not count as the other."""

    what: str
    group: int
    kinds: tuple[str, ...]
    first: Wire
    second: Wire
    readings: tuple[bytes, bytes]

    def told(self, seed: int) -> str:
        """Return the pair and both readings, as text."""
        return "\n".join(
            (
                f"{self.what}: seed {seed}, group {self.group}, {', '.join(self.kinds) or 'no change'}",
                f"  first  {_shown(self.first)}",
                f"  second {_shown(self.second)}",
                f"  read   {self.readings[0][:2000]!r}",
                f"  and    {self.readings[1][:2000]!r}",
            )
        )


@dataclass(slots=True)
class Report:
    """What was found in one framework. ``colliding`` counts pairs by the kinds of their changes."""

    framework: str
    seed: int
    pairs: int = 0
    collided: int = 0
    ran: int = 0
    requests: int = 0
    seconds: float = 0.0
    colliding: Counter[str] = field(default_factory=Counter)
    tried: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    @property
    def missing(self) -> list[str]:
        """The kinds that may collide and never did."""
        return [kind.name for kind in MAY if not self.colliding[kind.name]]

    def told(self) -> str:
        """Return the line of the framework."""
        rate = self.pairs / self.seconds if self.seconds else 0.0
        return (
            f"{self.framework}: {self.pairs} pairs, {self.collided} counted as one request, "
            f"{self.ran} of {self.requests} requests ran, {len(self.differences)} differences ({rate:.0f} pairs/s)"
        )


def _shown(wire: Wire) -> str:
    body = wire.body
    after = (body, wire.cuts, wire.trailers)
    return repr((wire.stack, wire.server, wire.method, wire.root_path, wire.target, wire.lines(body), *after))[:6000]


def _decides(name: bytes, value: bytes) -> bool:
    with_hyphens = name.decode("latin-1").replace("_", "-")  # as some servers and apps take it
    if name == b"cookie":
        return b"django_language=" in value or b"tz=" in value
    return (
        with_hyphens in BOUND
        or with_hyphens.startswith(("x-inside-", "x-outside-"))
        or (name == b"forwarded" and b"host" in value.lower())
    )


def core(wire: Wire) -> Any:
    """Return what of a request decides how it is read, to see whether two changes have undone each other.

    It judges nothing: what counts as one request is the library's answer alone.
    """
    scope = scope_of(wire)
    lines = [line for line in scope["headers"] if _decides(*line)]
    lines.sort(key=lambda line: line[0])
    content: Any = wire.content
    if isinstance(content, Multipart):
        boundary, content = content.boundary, content.copy()
        content.boundary = b""
        content = content.written()
        mark = b"boundary="
        lines = [(name, value.replace(mark + boundary, mark)) for name, value in lines]
    body = wire.body
    framing = [(name, value == b"%d" % len(body) or value) for name, value in wire.lines(body)[len(wire.headers) :]]
    if wire.framing in (b"length", b"chunked", b"bare") and not any(b"multipart" in value for _, value in lines):
        framing = []  # Django reads nothing of a form in parts that has no length; else it makes no difference
    return wire.method, wire.root_path, scope["raw_path"], scope["query_string"], lines, content, framing


class Comparison:
    """Compares pairs in one framework until enough of them have counted as one request."""

    def __init__(self, framework: str, seed: int) -> None:
        self.echo = Echo(framework)
        self.report = Report(framework, seed)
        self._seen: dict[tuple[str, bytes], tuple[bytes, int]] = {}

    def run(self, pairs: int) -> Report:
        """Go on until so many pairs have counted as one request; return what was found."""
        logging.disable(logging.CRITICAL)  # of frameworks that tell of each request they cannot read
        try:
            asyncio.run(self._run(pairs))
        finally:
            logging.disable(logging.NOTSET)
        return self.report

    async def _run(self, pairs: int) -> None:
        loop = asyncio.get_running_loop()
        began, group, report = loop.time(), 0, self.report
        async with self.echo.running():
            while report.collided < pairs and report.pairs < pairs * MOST_TRIES:
                await self.group(group)
                group += 1
                if group == MOST_REFUSED and report.ran == 0:
                    raise RuntimeError(
                        f"none of {report.requests} requests ran in {report.framework}: nothing is compared"
                    )
                if len(report.differences) >= MOST_DIFFERENCES:
                    break
        report.seconds = loop.time() - began

    async def group(self, number: int) -> None:
        """Compare an honest request with its variants, and all of them with whatever counted as the same before."""
        rng = Random(f"{self.report.seed} {self.report.framework} {number}")  # noqa: S311 - the same pairs again
        stack = rng.choice(STACKS)
        first = batch(rng, self.echo.ways) if stack == "batch" else honest(rng, self.echo.ways, stack)
        bound, reading = await self._one(first, number)
        for _ in range(VARIANTS if bound is not None else 1):
            second, kinds = mutated(rng, first, without=kinds_elsewhere(self.report.framework))
            try:
                found, other = await self._one(second, number)
            except (httptools.HttpParserError, UnicodeError):
                continue  # no server hands it out
            if bound is not None and second.key() != first.key():
                self._judge(number, (first, second), kinds, bound == found, (reading, other))

    async def _one(self, wire: Wire, number: int) -> tuple[bytes | None, bytes]:
        report = self.report
        report.requests += 1
        try:
            bound, reading = await self.echo.run(wire)
        except BrokenPromise as broken:
            report.differences.append(Difference(str(broken), number, (), wire, wire, (b"", b"")))
            return None, b""
        if bound is not None:
            report.ran += 1
            read = sha256(reading).digest()[:16]
            before, where = self._seen.setdefault((wire.stack, bound), (read, number))
            if before != read and where != number:
                report.differences.append(
                    Difference(f"read otherwise than in group {where}", number, (), wire, wire, (reading, reading))
                )
        return bound, reading

    def _judge(
        self,
        number: int,
        pair: tuple[Wire, Wire],
        kinds: list[Kind],
        same: bool,
        readings: tuple[bytes, bytes],
    ) -> None:
        report = self.report
        names = tuple(kind.name for kind in kinds)
        report.pairs += 1
        report.tried.update(names)
        if not same:
            return
        undone = core(pair[0]) == core(pair[1])
        if readings[0]:  # where a proof was redeemed and no route was there, nothing was read
            report.collided += 1
            report.colliding.update(name for name in names if KINDS[name].may_collide or not undone)
        if readings[0] != readings[1]:
            report.differences.append(Difference("read in two ways", number, names, *pair, readings))
        elif not undone:
            report.differences.append(Difference("counted as one", number, names, *pair, readings))


def compared(framework: str, *, pairs: int, seed: int) -> Report:
    """Compare pairs in one framework until ``pairs`` of them have counted as one request."""
    return Comparison(framework, seed).run(pairs)
