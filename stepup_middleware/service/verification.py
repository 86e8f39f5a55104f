"""Judges the whole log: every chain, every signed head and every proof, in one pass with flat memory."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.chain import ChainState, verify_chains
from stepup_middleware.core.events import AuditRecord, EventName
from stepup_middleware.core.findings import Check, Finding, LocatedRecord
from stepup_middleware.core.heads import SignedHead, head_holds
from stepup_middleware.core.moments import iso
from stepup_middleware.core.proofs import check_proof
from stepup_middleware.core.sequence import check_events, is_canonical
from stepup_middleware.core.trust import Trust
from stepup_middleware.stores.records import AuditLog

from .assertions import signature_holds
from .audit import batches

_REMEMBERED = 1000  # prompts, and enrolments, kept in memory; others are looked up in the log
_HEADS = 100  # heads of one chain read at a time
_SPINE = frozenset({EventName.CHALLENGE_REQUESTED, EventName.VERIFIED, EventName.ACTION_AUTHORIZED})
_JUDGED = frozenset({*_SPINE, EventName.FACTOR_ENROLLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFault:
    """What is wrong with the log, and at which record (``seq`` None: with a whole chain)."""

    chain: str
    link: int
    seq: int | None
    check: Check
    field: str
    problem: str


@dataclass(slots=True, kw_only=True)
class VerificationSummary:
    """What a pass has judged so far. ``beyond_heads``: records that no signed or witnessed head covers yet."""

    records: int = 0
    proofs: int = 0
    one_time_passwords: int = 0
    unverifiable: int = 0
    heads: int = 0
    heads_untrusted: int = 0
    beyond_heads: int = 0
    faults: int = 0


class _Memory:
    """The last events of prompts, or enrolments, by id: a bounded mapping that forgets the oldest."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, list[AuditRecord]] = OrderedDict()

    def add(self, key: str, record: AuditRecord) -> None:
        self._kept.setdefault(key, []).append(record)
        self._kept.move_to_end(key)
        if len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)

    def get(self, key: str) -> list[AuditRecord] | None:
        return self._kept.get(key)


class LogVerifier:
    """One pass over a log. ``summary`` tells how far it came and what it could not tell.

    ``proofs`` False judges chains and heads alone, which is several times faster.
    """

    def __init__(self, log: AuditLog, trust: Trust, *, proofs: bool = True) -> None:
        self.summary = VerificationSummary()
        self._log = log
        self._trust = trust
        self._proofs = proofs
        self._prompts = _Memory()
        self._enrolments = _Memory()
        self._ahead: dict[str, deque[SignedHead]] = {}
        self._headed: dict[str, int] = {}
        self._states: dict[str, ChainState] = {}
        self._purged: frozenset[str] = frozenset()

    async def run(self, *, told: Callable[[int], None] | None = None) -> AsyncIterator[LogFault]:
        """Yield every fault, in the order of the log. ``told`` is called with the number of records judged so far."""
        starts = await self._log.chain_starts()
        self._purged = frozenset(start.chain for start in starts)
        self._states = {start.chain: ChainState(link=start.link, hash=start.hash) for start in starts}
        self._headed = {start.chain: start.link for start in starts}
        for chain in await self._log.signed_chains():
            await self._look_ahead(chain, self._headed.get(chain, 0) + 1)
        async for batch in batches(self._log, None):
            for record in batch:
                for fault in await self._judge(record):
                    yield fault
            if told is not None:
                told(self.summary.records)
        for fault in await self._ends():
            yield fault

    async def _judge(self, record: AuditRecord) -> Sequence[LogFault]:
        self.summary.records += 1
        found = [
            self._fault(record, Check.CHAIN, fault.field, fault.problem)
            for fault in verify_chains((record,), self._states)
        ]
        witnessed = self._trust.witnessed.get((record.chain, record.link)) if self._trust.witnessed else None
        if witnessed is not None:
            self._headed[record.chain] = record.link
            if witnessed != record.hash:
                problem = "is not that of the witnessed head: there are two histories"
                found.append(self._fault(record, Check.HEAD, "hash", problem))
        ahead = self._ahead.get(record.chain)
        if ahead and ahead[0].link <= record.link:
            found += await self._judge_heads(record)
        if not self._proofs:
            return found
        if not is_canonical(record):
            problem = "is not the canonical text of an audit event"
            found.append(self._fault(record, Check.EVENTS, f"seq {record.seq}.body", problem))
        elif record.event in _JUDGED:
            for finding in await self._judge_event(record):
                if finding.unverifiable:
                    self.summary.unverifiable += 1
                else:
                    found.append(self._fault(record, finding.check, finding.field, finding.problem))
        return found

    def _fault(self, record: AuditRecord, check: Check, field: str, problem: str) -> LogFault:
        self.summary.faults += 1
        return LogFault(chain=record.chain, link=record.link, seq=record.seq, check=check, field=field, problem=problem)

    # heads

    async def _look_ahead(self, chain: str, from_link: int) -> None:
        self._ahead[chain] = deque(await self._log.heads(chain, from_link=from_link, limit=_HEADS))

    async def _judge_heads(self, record: AuditRecord) -> list[LogFault]:
        found: list[LogFault] = []
        ahead = self._ahead[record.chain]
        while ahead and ahead[0].link <= record.link:
            head = ahead.popleft()
            self._headed[record.chain] = head.link
            if not ahead:
                await self._look_ahead(record.chain, head.link + 1)
                ahead = self._ahead[record.chain]
            found += [self._fault(record, Check.HEAD, "head", problem) for problem in self._head_problems(head, record)]
        return found

    def _head_problems(self, head: SignedHead, record: AuditRecord) -> Iterator[str]:
        self.summary.heads += 1
        if head.link != record.link:
            yield f"a signed head is for link {head.link}, which is not there"
        elif head.hash != record.hash:
            yield "the signed head has another hash: the log was rewritten after it was signed"
        key = self._trust.head_keys.get(head.key_id)
        if not self._trust.head_keys:
            self.summary.heads_untrusted += 1
        elif key is None:
            yield f"the head is signed by key {head.key_id}, which you do not trust"
        elif not head_holds(
            key,
            chain=head.chain,
            link=head.link,
            hash_=head.hash,
            at=iso(head.at),
            key_id=head.key_id,
            signature=head.signature,
        ):
            yield "the head's signature does not hold"

    async def _ends(self) -> list[LogFault]:
        """Return a fault for each head beyond the end of its chain: the newest records were cut off."""
        found = []
        beyond = {chain: (ahead[-1].link, ahead[-1].hash) for chain, ahead in self._ahead.items() if ahead}
        for (chain, link), hash_ in self._trust.witnessed.items():
            if link > max(self._states.get(chain, ChainState()).link, beyond.get(chain, (0, b""))[0]):
                beyond[chain] = (link, hash_)
        for chain, (link, hash_) in sorted(beyond.items()):
            now_there = await self._log.audit_segment(chain, link, link)
            if now_there and now_there[0].hash == hash_:
                continue  # written and signed since this pass began
            end = self._states.get(chain, ChainState()).link
            self.summary.faults += 1
            problem = f"a signed head is for link {link}, but the chain ends at {end}: records were cut off"
            found.append(LogFault(chain=chain, link=end, seq=None, check=Check.HEAD, field="link", problem=problem))
        for chain, state in self._states.items():
            self.summary.beyond_heads += max(0, state.link - self._headed.get(chain, 0))
        return found

    # events and proofs

    async def _judge_event(self, record: AuditRecord) -> Sequence[Finding]:
        if record.event is EventName.FACTOR_ENROLLED:
            self._enrolments.add(record.factor_id, record)
            return ()
        before = await self._before(record)
        self._prompts.add(record.prompt_id, record)
        if record.event is EventName.CHALLENGE_REQUESTED and not before:
            return ()
        if (not before or before[0].event is not EventName.CHALLENGE_REQUESTED) and self._may_be_purged(record):
            self.summary.unverifiable += 1
            return ()
        placed = [LocatedRecord(where=f"seq {event.seq}", record=event) for event in (*before, record)]
        # of this record alone: what is still to come is not missing yet
        here = f"seq {record.seq}."
        found = [each for each in check_events(placed) if not each.unverifiable and each.field.startswith(here)]
        if record.event is EventName.VERIFIED and before:
            found += await self._judge_proof(placed[0], placed[-1])
        return found

    def _may_be_purged(self, record: AuditRecord) -> bool:
        return record.chain in self._purged

    async def _before(self, record: AuditRecord) -> list[AuditRecord]:
        """Return the prompt's earlier events of those that are judged together."""
        kept = self._prompts.get(record.prompt_id)
        if kept is None:
            if record.event is EventName.CHALLENGE_REQUESTED:
                return []
            found = await self._log.audit_after(None, AuditFilter(prompt=record.prompt_id), after=0, limit=500)
            kept = [each for each in found if each.event in _SPINE and each.seq < record.seq]
            for each in kept:
                self._prompts.add(record.prompt_id, each)
        return list(kept)

    async def _judge_proof(self, challenge: LocatedRecord, verified: LocatedRecord) -> list[Finding]:
        enrolled = await self._enrolment(verified.record)
        enrolment = None if enrolled is None else LocatedRecord(where=f"seq {enrolled.seq}", record=enrolled)
        found, one_time = [], False
        for finding in check_proof(
            challenge, verified, None, enrolment, signature_holds=signature_holds, rp_id=self._trust.rp_id
        ):
            if finding.check is Check.SIGNATURE and finding.unverifiable:
                one_time = True
            elif finding.check is Check.ENROLMENT and finding.unverifiable and not self._purged:
                found.append(replace(finding, unverifiable=False))  # nothing was purged: it was removed
            else:
                found.append(finding)
        self.summary.one_time_passwords += one_time
        self.summary.proofs += not one_time
        return found

    async def _enrolment(self, verified: AuditRecord) -> AuditRecord | None:
        kept = self._enrolments.get(verified.factor_id)
        if kept:
            return kept[0]
        wanted = AuditFilter(event=EventName.FACTOR_ENROLLED, subject=verified.subject_id)
        after = 0
        while True:
            batch = await self._log.audit_after(verified.workspace_id, wanted, after=after, limit=500)
            for record in batch:
                if record.factor_id == verified.factor_id and record.seq < verified.seq:
                    self._enrolments.add(record.factor_id, record)
                    return record
            if len(batch) < 500:
                return None
            after = batch[-1].seq
