"""The evidence service: makes the bundle of one step-up from the log, and judges bundles."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.events import AuditRecord, EventName
from stepup_middleware.core.evidence import Segment, Span, assemble, leaf_of, plan
from stepup_middleware.core.heads import SignedHead
from stepup_middleware.core.trust import Trust
from stepup_middleware.core.verification import Report, verify_bundle
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.records import AuditLog

from .assertions import signature_holds
from .heads import HeadKeeper

_BATCH = 500
_LINKS = 1000  # links read at a time


@cache
def evidence_schema() -> Mapping[str, Any]:
    """Return the published schema of the bundle, ``schemas/evidence-1.json``."""
    text = files("stepup_middleware").joinpath("schemas", "evidence-1.json").read_text(encoding="utf-8")
    schema: Mapping[str, Any] = json.loads(text)
    return schema


def judge(bundle: object, trust: Trust) -> Report:
    """Judge an evidence bundle: see ``core.verification``."""
    return verify_bundle(bundle, trust, schema=evidence_schema(), signature_holds=signature_holds)


class EvidenceService:
    """Makes bundles. ``keeper`` signs a fresh head first, where there is one."""

    def __init__(self, *, store: AuditLog, keeper: HeadKeeper | None = None) -> None:
        self._store = store
        self._keeper = keeper
        evidence_schema()  # read now: no request waits for the disk

    @property
    def own_trust(self) -> Trust:
        """What this installation itself trusts: its own head key."""
        keys = {} if self._keeper is None else {self._keeper.key.key_id: self._keeper.key.public_key}
        return Trust(head_keys=keys)

    async def bundle(self, workspace_id: str | None, prompt_id: str) -> dict[str, Any] | None:
        """Return the evidence of a step-up; None when the workspace has none of that id.

        ``workspace_id`` None takes the workspace that the prompt belongs to. Records of others who tried the same
        prompt in another workspace stay out. Raises ``StoreError``, also for a log with a hole in it.
        """
        events = await self._events(workspace_id, prompt_id)
        asked = next((record for record in events if record.event is EventName.CHALLENGE_REQUESTED), None)
        if asked is None:
            return None
        events = [record for record in events if record.workspace_id == asked.workspace_id]
        if self._keeper is not None:
            await self._keeper.sign()
        enrolment = await self._enrolment(events)
        shown = [*events, *([] if enrolment is None else [enrolment])]
        by_chain: dict[str, list[int]] = defaultdict(list)
        for record in shown:
            by_chain[record.chain].append(record.link)
        segments: list[Segment] = []
        for chain, links in by_chain.items():
            segments += await self._segments(chain, links)
        return assemble(
            prompt_id=prompt_id,
            workspace_id=asked.workspace_id,
            events=events,
            enrolment=enrolment,
            segments=segments,
        )

    async def events(self, workspace_id: str, prompt_id: str) -> Sequence[AuditRecord]:
        """Return every event of a step-up in a workspace, in the order of the log."""
        return await self._events(workspace_id, prompt_id)

    async def _events(self, workspace_id: str | None, prompt_id: str) -> list[AuditRecord]:
        return await self._all(workspace_id, AuditFilter(prompt=prompt_id)) if prompt_id else []

    async def _all(self, workspace_id: str | None, wanted: AuditFilter) -> list[AuditRecord]:
        found: list[AuditRecord] = []
        while True:
            after = found[-1].seq if found else 0
            batch = await self._store.audit_after(workspace_id, wanted, after=after, limit=_BATCH)
            found += batch
            if len(batch) < _BATCH:
                return found

    async def _enrolment(self, events: Sequence[AuditRecord]) -> AuditRecord | None:
        verified = next((record for record in events if record.event is EventName.VERIFIED), None)
        if verified is None:
            return None
        wanted = AuditFilter(event=EventName.FACTOR_ENROLLED, subject=verified.subject_id)
        enrolled = await self._all(verified.workspace_id, wanted)
        return next((record for record in enrolled if record.factor_id == verified.factor_id), None)

    async def _segments(self, chain: str, links: Sequence[int]) -> list[Segment]:
        after: dict[int, int | None] = {}
        heads: dict[int, SignedHead] = {}
        for link in links:
            found = await self._store.heads(chain, from_link=link, limit=1)
            after[link] = found[0].link if found else None
            if found:
                heads[found[0].link] = found[0]
        return [await self._segment(chain, span, heads) for span in plan(after)]

    async def _segment(self, chain: str, span: Span, heads: Mapping[int, SignedHead]) -> Segment:
        leaves: list[bytes] = []
        for first in range(span.first, span.last + 1, _LINKS):
            last = min(first + _LINKS - 1, span.last)
            records = await self._store.audit_segment(chain, first, last)
            if [record.link for record in records] != list(range(first, last + 1)):
                raise StoreError(f"chain {chain} has a hole between links {first} and {last}: the log was altered")
            leaves += [leaf_of(record) for record in records]
        return Segment(
            chain=chain,
            first_link=span.first,
            leaves=leaves,
            head=heads[span.last] if span.headed else None,
        )
