"""The evidence service: makes the bundle of one step-up from the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.events import EventName
from stepup_middleware.errors import EvidenceError, StoreError
from stepup_middleware.evidence.bundle import Bundle, ProvedRecord
from stepup_middleware.evidence.database import TilesOf
from stepup_middleware.evidence.report import Report
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.evidence.verification import evidence_schema, verify_bundle
from stepup_middleware.log.checkpoints import read_checkpoint
from stepup_middleware.log.notes import Note, read_note
from stepup_middleware.log.tiles import TileError, prove_inclusion
from stepup_middleware.stores.audit_log import AuditLog

from .assertions import signature_holds
from .signing import CheckpointSigner
from .walking import batches

_PATIENCE_SECONDS = 2.0  # for the leaf of a record that was written just now: it has one within 250 ms
_LOOK_SECONDS = 0.05


class EvidenceService:
    """Makes bundles. ``signer`` signs a fresh checkpoint first, where there is one."""

    def __init__(self, *, store: AuditLog, signer: CheckpointSigner | None = None) -> None:
        self._store = store
        self._signer = signer
        evidence_schema()  # read now: no request waits for the disk

    @property
    def own_trust(self) -> Trust:
        """What this installation itself trusts: its own log keys."""
        return Trust() if self._signer is None else Trust(log_keys=self._signer.keys)

    def judge(self, bundle: object) -> Report:
        """Verify a bundle with the installation's own keys."""
        return verify_bundle(bundle, self.own_trust, signature_holds=signature_holds)

    async def bundle(self, workspace_id: str | None, prompt_id: str) -> dict[str, Any] | None:
        """Return the evidence of a step-up, a JSON value; None when the workspace has none of that id.

        ``workspace_id`` None takes the workspace that the prompt belongs to. Events of the same prompt in another
        workspace stay out. Raises ``EvidenceError`` where no signed checkpoint has all its records, and ``StoreError``.
        """
        made = await self.make(workspace_id, prompt_id)
        return None if made is None else made.as_dict()

    async def make(
        self, workspace_id: str | None, prompt_id: str, *, events: Sequence[AuditRecord] | None = None
    ) -> Bundle | None:
        """Return the evidence of a step-up as ``bundle`` does, before it becomes a JSON value.

        ``events`` are those that ``events`` returned, where the caller has read them.
        """
        events = await self.events(workspace_id, prompt_id) if events is None else events
        asked = next((event for event in events if event.event is EventName.CHALLENGE_REQUESTED), None)
        if asked is None:
            return None
        events = [event for event in events if event.workspace_id == asked.workspace_id and event.refused is None]
        enrolment = await self._enrolment(events)
        shown = [*events, *([] if enrolment is None else [enrolment])]
        places = await self._places([event.id for event in shown])
        log, _ = places[asked.id]
        if any(places[event.id][0] != log for event in events):
            raise EvidenceError("a new log was begun amid this step-up: no one checkpoint has all its records")
        if enrolment is not None and places[enrolment.id][0] != log:
            enrolment = (
                None  # of a log before this one: the proof has the public key, and nothing here says whose it is
            )
        kept = events if enrolment is None else [*events, enrolment]
        note = await self._checkpoint(log, max(places[event.id][1] for event in kept) + 1)
        size = read_checkpoint(note.text).size
        proved = {event.id: await self._proved(event, log, places[event.id][1], size) for event in kept}
        return Bundle(
            prompt_id=prompt_id,
            workspace_id=asked.workspace_id,
            records=sorted((proved[event.id] for event in events), key=lambda record: record.index),
            enrolment=None if enrolment is None else proved[enrolment.id],
            note=note,
        )

    async def events(self, workspace_id: str | None, prompt_id: str) -> Sequence[AuditRecord]:
        """Return every event of a step-up in a workspace, in the order of the log."""
        return await self._all(workspace_id, AuditFilter(prompt=prompt_id)) if prompt_id else []

    async def _all(self, workspace_id: str | None, wanted: AuditFilter) -> list[AuditRecord]:
        return [record async for batch in batches(self._store, workspace_id, wanted) for record in batch]

    async def _enrolment(self, events: Sequence[AuditRecord]) -> AuditRecord | None:
        verified = next((record for record in events if record.event is EventName.VERIFIED), None)
        if verified is None:
            return None
        wanted = AuditFilter(event=EventName.FACTOR_ENROLLED, subject=verified.subject_id)
        enrolled = await self._all(verified.workspace_id, wanted)
        return next((record for record in enrolled if record.factor_id == verified.factor_id), None)

    async def _places(self, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return the tree and index of each record; waits a moment for those that were written just now."""
        for _ in range(int(_PATIENCE_SECONDS / _LOOK_SECONDS)):
            leaves = await self._store.leaves_of(ids)
            if len(leaves) == len(set(ids)):
                return {id_: (leaf.log, leaf.index) for id_, leaf in leaves.items()}
            await asyncio.sleep(_LOOK_SECONDS)
        missing = ", ".join(sorted(set(ids) - leaves.keys()))
        raise EvidenceError(f"these records are not in the log's tree yet, which a running app sees to: {missing}")

    async def _checkpoint(self, log: int, size: int) -> Note:
        grows = log == len(await self._store.trees())
        kept = await self._signer.checkpoint_for(size) if self._signer is not None and grows else None
        kept = kept or await self._store.last_checkpoint(log=log)
        if kept is None or kept.size < size:
            raise EvidenceError(
                "no signed checkpoint has all records of this step-up: give StepUp a log_key (`stepup keygen --log`), "
                "or ask the running app, which signs one"
            )
        return read_note(kept.note)

    async def _proved(self, record: AuditRecord, log: int, index: int, size: int) -> ProvedRecord:
        try:
            path = await prove_inclusion(TilesOf(self._store, log), index, size)
        except (TileError, ValueError) as error:
            raise StoreError(f"the tree of the log is not as it was signed: {error}") from error
        return ProvedRecord(index=index, entry=record.entry, path=tuple(path), body=record.body)
