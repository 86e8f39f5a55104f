"""The hash chain of evidence bundles of version 1.

Each record is hashed on its own (the leaf), and a link binds the leaf to its chain, its place and the
link before it. A part of a chain can so be shown to an auditor with other people's records reduced to
their leaves. Events of one retention share a chain, so that purging takes a prefix and what stays is
still a chain from a known point.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from .events import AuditRecord

GENESIS = bytes(32)


def leaf_hash(body: str) -> bytes:
    """Return the 32-byte hash of a record's canonical text."""
    return sha256(b"stepup-audit-leaf-v1\0" + body.encode()).digest()


def link_hash(chain: str, link: int, previous: bytes, leaf: bytes) -> bytes:
    """Return the 32-byte hash of a link: chain name, place (from 1), the hash before, the leaf."""
    return sha256(
        b"stepup-audit-link-v1\0" + chain.encode() + b"\0" + link.to_bytes(8, "big") + previous + leaf
    ).digest()


def chain_name(writer: str, retention_years: int) -> str:
    """Return the name of the chain for a writer and a retention (ISO 8601 duration)."""
    return f"{writer}/P{retention_years}Y"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFault:
    """Where a chain does not hold, and why."""

    chain: str
    link: int
    seq: int | None
    field: str
    problem: str


@dataclass(slots=True)
class ChainState:
    """How far a chain has been followed: the place and the hash of its last link."""

    link: int = 0
    hash: bytes = GENESIS


def verify_chains(records: Iterable[AuditRecord], starts: dict[str, ChainState] | None = None) -> Iterator[ChainFault]:
    """Follow records (in the order of the log) along their chains and yield every fault.

    ``starts`` tells from where each chain goes on (a purge leaves such points); it is updated in place,
    so that after the last record it holds the heads that were reached. Memory is one entry a chain.
    """
    states = {} if starts is None else starts
    for record in records:
        state = states.get(record.chain)
        if state is None:
            state = states[record.chain] = ChainState()
        hash_ = link_hash(record.chain, record.link, record.previous, leaf_hash(record.body))
        if record.link != state.link + 1:
            problem = f"expected link {state.link + 1}, found {record.link}: records are missing or moved"
            yield _fault(record, "link", problem)
        if record.previous != state.hash:
            yield _fault(record, "previous", "does not name the hash of the link before it")
        if hash_ != record.hash:
            yield _fault(record, "body", "the record was altered after it was written")
        state.link, state.hash = record.link, record.hash


def _fault(record: AuditRecord, field: str, problem: str) -> ChainFault:
    return ChainFault(chain=record.chain, link=record.link, seq=record.seq, field=field, problem=problem)
