"""The hash chain of the audit log, and how a record is read back.

Each record is hashed on its own (the leaf), and a link binds the leaf to its chain, its place and the
link before it. A part of a chain can so be shown to an auditor with other people's records reduced to
their leaves. Events of one retention share a chain, so that purging takes a prefix and what stays is
still a chain from a known point.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from .binding import bound_request_from
from .events import AuditRecord, EventName, Outcome, Severity
from .factors import FactorKind, FactorRequirement

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


def read_record(
    seq: int,
    chain: str,
    link: int,
    previous: bytes,
    hash_: bytes,
    body: str,
    *,
    id_: str = "",
    entry: str = "",
    mac: bytes = b"",
    refused: str | None = None,
    log: int | None = None,
    index: int | None = None,
) -> AuditRecord:
    """Return the record of a stored row. The fields come from the hashed text, never from index columns.

    Raises ``ValueError`` or ``KeyError`` when the text is no event.
    """
    fields = json.loads(body)
    request = fields["request"]
    return AuditRecord(
        seq=seq,
        chain=chain,
        link=link,
        previous=previous,
        hash=hash_,
        body=body,
        id=id_,
        salt=fields.get("salt", ""),
        entry=entry,
        mac=mac,
        log=log,
        index=index,
        refused=None if index is not None else refused,
        at=datetime.fromisoformat(fields["at"]),
        event=EventName(fields["event"]),
        severity=Severity(fields["severity"]),
        outcome=Outcome(fields["outcome"]),
        workspace_id=fields["workspace"],
        subject_id=fields["subject"],
        subject_name=fields["subject_name"],
        session=fields["session"],
        ip=fields["ip"],
        user_agent=fields["user_agent"],
        purpose=fields["purpose"],
        prompt_id=fields["prompt"],
        factor_kind=None if fields["factor"] is None else FactorKind(fields["factor"]),
        factor_id=fields["factor_id"],
        requirement=None if fields["requirement"] is None else FactorRequirement(fields["requirement"]),
        policy_version=fields["policy_version"],
        request=None if request is None else bound_request_from(request),
        details=tuple((label, text) for label, text in fields["details"]),
        reason=fields["reason"],
        flags=tuple(fields["flags"]),
        retention_years=fields["retention_years"],
        data=fields["data"],
    )
