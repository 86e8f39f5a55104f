"""The evidence bundle: what an auditor is handed to judge one step-up without the operator's database.

A bundle has the events themselves, and of everybody else's records in between no more than the leaf
hashes that lead from them to a signed head. ``schemas/evidence-1.json`` describes it member by member,
``verification`` judges it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .chain import leaf_hash
from .events import AuditRecord, EventName
from .heads import SignedHead

FORMAT = "stepup-evidence"
VERSION = 1
JOINED_WITHIN = 4096  # links: events of one chain that are no farther apart share a segment
LONGEST_SEGMENT = 100_000  # links to a head; beyond it, a head counts as too far away to be shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of one chain that a bundle shows, both links included. ``headed``: a signed head is at its end."""

    first: int
    last: int
    headed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A span of one chain: a leaf for every link, and the head at its end if one was signed."""

    chain: str
    first_link: int
    leaves: Sequence[bytes]
    head: SignedHead | None


def plan(heads_after: Mapping[int, int | None]) -> list[Span]:
    """Return the spans of one chain to show, in order and without overlap.

    ``heads_after`` maps the link of each event to the link of the first signed head at or after it, or None.
    """
    spans: list[Span] = []
    for link in sorted(heads_after):
        head = heads_after[link]
        if head is not None and head - link > LONGEST_SEGMENT:
            head = None
        last = link if head is None else head
        before = spans[-1] if spans else None
        if before is not None and before.headed == (head is not None) and link - before.last <= JOINED_WITHIN:
            spans[-1] = Span(first=before.first, last=max(last, before.last), headed=before.headed)
        else:
            spans.append(Span(first=link, last=last, headed=head is not None))
    return spans


def proof_of_events(events: Iterable[AuditRecord]) -> Mapping[str, Any] | None:
    """Return the proof that the first ``ACCOUNT_STEPUP_VERIFIED`` among the events keeps, None without one."""
    for record in events:
        if record.event is EventName.VERIFIED:
            proof = record.data.get("proof")
            return proof if isinstance(proof, dict) else None
    return None


def assemble(
    *,
    prompt_id: str,
    workspace_id: str,
    events: Sequence[AuditRecord],
    enrolment: AuditRecord | None,
    segments: Iterable[Segment],
) -> dict[str, Any]:
    """Return the bundle of a step-up as a JSON value. ``events`` are in the order of the log."""
    ordered = sorted(segments, key=lambda segment: (segment.chain, segment.first_link))
    shown = {(record.chain, record.link) for record in (*events, *(() if enrolment is None else (enrolment,)))}
    return {
        "format": FORMAT,
        "version": VERSION,
        "prompt_id": prompt_id,
        "workspace_id": workspace_id,
        "events": [_entry(record) for record in events],
        "enrolment": None if enrolment is None else _entry(enrolment),
        "proof": proof_of_events(events),
        "segments": [_segment(segment, shown) for segment in ordered],
        "head_key_ids": sorted({segment.head.key_id for segment in ordered if segment.head is not None}),
    }


def leaf_of(record: AuditRecord) -> bytes:
    """Return what is shown of somebody else's record: the hash of its text."""
    return leaf_hash(record.body)


def _entry(record: AuditRecord) -> dict[str, Any]:
    return {
        "chain": record.chain,
        "link": record.link,
        "previous": record.previous.hex(),
        "hash": record.hash.hex(),
        "body": record.body,
    }


def _segment(segment: Segment, shown: set[tuple[str, int]]) -> dict[str, Any]:
    return {
        "chain": segment.chain,
        "first_link": segment.first_link,
        "leaves": [
            None if (segment.chain, link) in shown else leaf.hex()
            for link, leaf in enumerate(segment.leaves, segment.first_link)
        ],
        "head": None if segment.head is None else segment.head.as_dict(),
    }
