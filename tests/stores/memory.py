"""A store in memory, as the guide's page on a store of one's own tells: what the contract asks of any store.

It forgets everything with its process and is no store to serve with. One event loop runs every verb to its end
without a wait, so that each is a transaction as long as it changes nothing before all that may fail is done.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from stepup_middleware.core.approvals import (
    ASKED_WITHIN,
    Approval,
    ApprovalChange,
    ApprovalEnd,
    ApprovalMark,
    ApprovalNews,
    ApprovalRefused,
    ApprovalState,
    Decider,
    EndReason,
    ended,
    may_be_proved,
    proved,
    refuse_approval,
    with_digits,
)
from stepup_middleware.core.attempts import AttemptLimit, TooMany, count_attempt
from stepup_middleware.core.audit import AuditFilter, AuditPage, Backlog, Delivery, EventCounts, read_record
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.binding import details_digest
from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.decisions import Decision, Presentation, Redemption, TokenRow, TokenState, Verdict, decide
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.factors import (
    EnrolledFactor,
    Enrolment,
    Factor,
    FactorKind,
    TOTPFactor,
    WebAuthnFactor,
    may_remove,
)
from stepup_middleware.core.grants import GrantRefused, TokenGrant, factor_refusal
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.presentations import presentation_events, replay_of
from stepup_middleware.core.prompts import (
    ONE_FLOOD_EVENT_PER,
    PROMPT_LIFETIME,
    NoFactor,
    Prompt,
    PromptRequest,
    PromptState,
    StoredPrompt,
    asking_event,
    flood_event,
)
from stepup_middleware.core.prompts import ask as decide_prompt
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.recovery import (
    EnrolmentPass,
    EnrolmentRight,
    FactorsReset,
    Hold,
    PassRefused,
    PeopleFilter,
    PeoplePage,
    RecoveryCodes,
    ResetRequest,
    folded,
    refuse_pass,
)
from stepup_middleware.core.recovery import Person as KnownPerson
from stepup_middleware.core.retention import (
    DELIVERIES_LATE,
    DELIVERIES_STAY,
    DELIVERY_LEASE,
    PROMPTS_STAY,
    TOKENS_STAY,
    Purged,
    clock_anomaly,
)
from stepup_middleware.core.standing import held_until, person_concerned
from stepup_middleware.core.subject import in_session
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.core.topics import Topic
from stepup_middleware.errors import StoreError
from stepup_middleware.log.integrator import (
    BATCH,
    PendingRecord,
    SeenTree,
    Step,
    TreeState,
    integrate,
    state_of,
    take_step,
)
from stepup_middleware.log.notes import with_signatures_of
from stepup_middleware.log.records import CHANCE_BYTES, SALT_BYTES, RowMacs, read_entry
from stepup_middleware.log.stored import Leaf, StoredCheckpoint, StoredRecord
from stepup_middleware.log.tiles import TiledTree, TileId
from stepup_middleware.stores.base import Store
from stepup_middleware.stores.records import NewFactor
from stepup_middleware.stores.recovery_rows import place_of
from stepup_middleware.stores.sealing import MissingKeys, Rewrite, TamperTaker

Person = tuple[str, str]
_USABLE = (TokenState.UNCOLLECTED, TokenState.ISSUED)
Subscriber = Callable[[Sequence[tuple[int, AuditEvent]]], None]


@dataclass
class _Tree:
    """The tree of one log."""

    state: TreeState
    tiles: dict[TileId, bytes] = field(default_factory=dict)
    leaves: list[Leaf] = field(default_factory=list)


@dataclass
class Data:
    """What all stores on the same memory share."""

    prompts: dict[str, StoredPrompt] = field(default_factory=dict)
    challenges: dict[str, PendingChallenge] = field(default_factory=dict)
    brought: dict[str, int] = field(default_factory=dict)  # the token that a prompt brought
    tokens: dict[int, TokenRow] = field(default_factory=dict)
    minted: int = 0
    blocked: dict[tuple[str, str, str], list[datetime]] = field(default_factory=dict)  # places of refused requests
    floods: dict[tuple[str, str, str], tuple[datetime, int]] = field(default_factory=dict)
    attempts: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    steps: Counter[Person] = field(default_factory=Counter)
    handles: dict[Person, bytes] = field(default_factory=dict)
    factors: dict[Person, dict[str, Factor]] = field(default_factory=dict)
    enrolments: dict[tuple[str, str, str, FactorKind], Enrolment] = field(default_factory=dict)
    policies: dict[str, StoredPolicy] = field(default_factory=dict)
    log: list[AuditRecord] = field(default_factory=list)
    seq: int = 0
    authorized: set[int] = field(default_factory=set)  # tokens, for ever
    trees: list[_Tree] = field(default_factory=list)
    checkpoints: dict[tuple[int, int], StoredCheckpoint] = field(default_factory=dict)  # by log and size
    passes: dict[Person, EnrolmentPass] = field(default_factory=dict)
    rights: dict[Person, EnrolmentRight] = field(default_factory=dict)
    codes: dict[Person, RecoveryCodes] = field(default_factory=dict)
    holds: dict[Person, Hold] = field(default_factory=dict)
    requests: dict[Person, ResetRequest] = field(default_factory=dict)
    approvals: dict[str, tuple[int, Approval]] = field(default_factory=dict)  # by prompt, with the last change
    epoch: int = 1  # in which all that is outstanding was made
    changes: int = 0
    people: dict[Person, KnownPerson] = field(default_factory=dict)
    deliveries: dict[tuple[int, Topic], tuple[datetime, tuple[str, ...]]] = field(
        default_factory=dict
    )  # held until, had by
    purged_at: datetime | None = None
    grown: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryStore(Store):
    """Keeps everything in ``data``."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._takers: list[Callable[[Sequence[AuditEvent]], None]] = []
        self._subscribers: list[Subscriber] = []
        self._started = False
        self._macs: RowMacs | None = None

    def use(self, macs: RowMacs | None) -> Self:
        self._macs = macs
        return self

    async def start(self) -> None:
        self._started = True

    async def close(self) -> None:
        self._started = False

    # the log

    def _log(self, events: Iterable[AuditEvent]) -> None:
        """Write events, all or none. Raises ``StoreError`` for one that cannot be written."""
        if self._macs is None:
            raise StoreError("the store was given no MACs for its rows: call use(macs) before start")
        data, made = self._data, list[tuple[AuditEvent, AuditRecord]]()
        seq = data.seq
        for event in events:
            try:
                chance = os.urandom(CHANCE_BYTES)
                body = event.body(chance[:SALT_BYTES].hex())
                sealed = self._macs.seal(body, at=event.at, retention_years=event.retention_years, chance=chance)
            except ValueError as error:
                raise StoreError(f"an event cannot be written: {error}") from error
            seq += 1
            record = read_record(sealed.body, seq=seq, id_=sealed.id, entry=sealed.entry, mac=sealed.mac)
            made.append((event, record))
        authorized = [event.token_id for event, _ in made if event.token_id is not None]
        if len(set(authorized)) < len(authorized) or data.authorized & set(authorized):
            raise StoreError("a token authorizes one action, for ever")
        data.authorized |= set(authorized)
        data.seq = seq
        data.log += [record for _, record in made]
        for event, record in made:
            for topic in event.topics:
                data.deliveries[record.seq, topic] = (event.at + DELIVERY_LEASE, ())
        if made:
            data.grown.set()
            for subscriber in self._subscribers:
                subscriber([(record.seq, event) for event, record in made])

    async def append(self, events: Sequence[AuditEvent]) -> None:
        self._log(events)

    async def probe(self) -> None:
        if not self._started:
            raise StoreError("the store is not started")

    async def backlog(self, *, now: datetime, limit: int) -> Backlog:
        leaves = {leaf.record_id for tree in self._data.trees for leaf in tree.leaves}
        waiting = [record for record in self._data.log if record.id not in leaves and record.refused is None][:limit]
        since = min((record.at for record in waiting), default=None)
        written = {record.seq: record.at for record in self._data.log}
        late = [topic for seq, topic in self._data.deliveries if written[seq] <= now - DELIVERIES_LATE][:limit]
        return Backlog(leafless=len(waiting), since=since, undelivered=Counter(late))

    def append_soon(self, event: AuditEvent) -> None:
        try:
            self._log([event])
        except StoreError:
            for taker in self._takers:
                taker([event])

    def on_unwritten(self, taker: Callable[[Sequence[AuditEvent]], None]) -> None:
        self._takers.append(taker)

    def subscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)

    def _matching(self, workspace_id: str | None, wanted: AuditFilter) -> list[AuditRecord]:
        asked = {"subject_id": wanted.subject, "purpose": wanted.purpose, "event": wanted.event}
        asked |= {"outcome": wanted.outcome, "prompt_id": wanted.prompt, "workspace_id": workspace_id}
        return [
            record
            for record in self._data.log
            if all(value is None or getattr(record, name) == value for name, value in asked.items())
            and (wanted.since is None or record.at >= wanted.since)
            and (wanted.until is None or record.at < wanted.until)
        ]

    async def audit_page(
        self, workspace_id: str | None, wanted: AuditFilter, *, before: int | None, limit: int
    ) -> AuditPage:
        found = [record for record in self._matching(workspace_id, wanted) if before is None or record.seq < before]
        shown = tuple(found[::-1][:limit])
        return AuditPage(events=shown, next=shown[-1].seq if len(found) > limit and shown else None)

    async def audit_after(
        self, workspace_id: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> tuple[AuditRecord, ...]:
        return tuple([record for record in self._matching(workspace_id, wanted) if record.seq > after][:limit])

    async def count_events(self, workspace_id: str, *, since: datetime, until: datetime | None = None) -> EventCounts:
        found = self._matching(workspace_id, AuditFilter(since=since, until=until))
        hours = Counter(
            (record.at.replace(minute=0, second=0, microsecond=0), record.event, record.outcome) for record in found
        )
        return EventCounts(by_hour=hours, last_seq=self._data.seq)

    async def last_seq(self) -> int:
        return self._data.seq

    async def wait_for_audit(self, after: int, *, seconds: float) -> None:
        self._data.grown.clear()
        if self._data.seq <= after:
            try:
                await asyncio.wait_for(self._data.grown.wait(), seconds)
            except TimeoutError:
                return

    # the tree

    async def trees(self) -> tuple[TreeState, ...]:
        return tuple(tree.state for tree in self._data.trees)

    async def read_tiles(self, tiles: Collection[TileId], *, log: int | None = None) -> Mapping[TileId, bytes]:
        found = self._tree(log)
        return {} if found is None else {tile: found.tiles[tile] for tile in tiles if tile in found.tiles}

    def _tree(self, log: int | None) -> _Tree | None:
        number = len(self._data.trees) if log is None else log
        return self._data.trees[number - 1] if 1 <= number <= len(self._data.trees) else None

    async def next_log(self, after: int) -> int | None:
        return next((number for number in range(1, len(self._data.trees) + 1) if number > after), None)

    async def tile_ids(self, *, log: int, after: TileId, limit: int) -> tuple[TileId, ...]:
        found = self._tree(log)
        return () if found is None else tuple(sorted(tile for tile in found.tiles if tile > after)[:limit])

    async def leaves(self, *, first: int, limit: int, log: int | None = None) -> tuple[Leaf, ...]:
        found = self._tree(log)
        return () if found is None else tuple(found.leaves[first:][:limit])

    async def leaf_ahead(self) -> tuple[int, int] | None:
        for log, tree in enumerate(self._data.trees, 1):
            if len(tree.leaves) > tree.state.size:
                return log, tree.leaves[tree.state.size].index
        return None

    async def leaves_of(self, record_ids: Collection[str]) -> Mapping[str, Leaf]:
        leaves = [leaf for tree in self._data.trees for leaf in tree.leaves]
        return {leaf.record_id: leaf for leaf in leaves if leaf.record_id in record_ids}

    def _stored(self) -> list[StoredRecord]:
        leaves = {leaf.record_id: leaf for tree in self._data.trees for leaf in tree.leaves}
        return [
            StoredRecord(
                seq=record.seq,
                id=record.id,
                body=record.body,
                entry=record.entry,
                mac=record.mac,
                refused=record.refused,
                leaf=leaves.get(record.id),
                workspace=record.workspace_id,
                subject=record.subject_id,
                event=record.event,
                outcome=record.outcome,
                purpose=record.purpose,
                prompt=record.prompt_id,
                factor=record.factor_id,
                token=record.as_event().token_id,
                person=person_concerned(record.as_event()),
                held=held_until(record.as_event()),
                at=to_micros(record.at),
            )
            for record in self._data.log
        ]

    async def stored_records(self, *, after: int, limit: int) -> tuple[StoredRecord, ...]:
        return tuple([record for record in self._stored() if record.seq > after][:limit])

    async def records_without_leaf(self, *, after: int, until: int) -> tuple[StoredRecord, ...]:
        return tuple(record for record in self._stored() if after < record.seq <= until and record.leaf is None)

    async def integrate(self, *, origin: str, seen: SeenTree, limit: int = BATCH) -> tuple[Step, SeenTree]:
        if self._macs is None:
            raise StoreError("the store was given no MACs for its rows: call use(macs) before start")
        return await take_step(self, origin=origin, seen=seen, macs=self._macs, limit=limit)

    async def begin_log(self, origin: str, make: Callable[[TreeState | None], AuditEvent]) -> bool:
        if self._macs is None:
            raise StoreError("the store was given no MACs for its rows: call use(macs) before start")
        before = self._data.trees[-1].state if self._data.trees else None
        if origin in [tree.state.origin for tree in self._data.trees]:
            return False
        await self.append([make(before)])
        (record,) = [one for one in await self.pending_records(len(self._data.log)) if one.seq == self._data.seq]
        empty = state_of(origin, TiledTree(), self._macs)
        self._data.trees.append(_Tree(empty))
        await self.write_step(integrate(empty, TiledTree(), [record], self._macs))
        return True

    async def read_tree_state(self) -> TreeState | None:
        return self._data.trees[-1].state if self._data.trees else None

    async def pending_records(self, limit: int) -> Sequence[PendingRecord]:
        waiting = [one for one in self._stored() if one.leaf is None and one.refused is None]
        return [
            PendingRecord(seq=one.seq, id=one.id, body=one.body, entry=one.entry, mac=one.mac)
            for one in waiting[:limit]
        ]

    async def write_step(self, step: Step) -> None:
        data = self._data
        places = {record.id: place for place, record in enumerate(data.log)}
        if step.state is not None:
            if not data.trees:
                data.trees.append(_Tree(step.state))
            tree, log = data.trees[-1], len(data.trees)
            tree.state = step.state
            for id_, index in step.indexes.items():
                record = replace(data.log[places[id_]], log=log, index=index)
                data.log[places[id_]] = record
                tree.leaves.append(Leaf(log=log, index=index, record_id=id_, entry=record.entry))
            tree.tiles |= step.tiles
        for id_, fault in step.refused.items():
            data.log[places[id_]] = replace(data.log[places[id_]], refused=fault.name)

    async def add_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
        place = (checkpoint.log, checkpoint.size)
        known = self._data.checkpoints.setdefault(place, checkpoint)
        note = with_signatures_of(known.note, checkpoint.note)
        self._data.checkpoints[place] = replace(known, note=note)
        return known is checkpoint or note != known.note

    async def checkpoints(
        self, *, after_size: int = -1, limit: int = 100, log: int | None = None
    ) -> tuple[StoredCheckpoint, ...]:
        number = len(self._data.trees) or 1 if log is None else log
        found = sorted(self._data.checkpoints.items())
        return tuple(kept for (of, size), kept in found if of == number and size > after_size)[:limit]

    async def last_checkpoint(self, *, log: int | None = None) -> StoredCheckpoint | None:
        return max(await self.checkpoints(limit=2**62, log=log), key=lambda kept: kept.size, default=None)

    async def claim_deliveries(
        self, topics: Sequence[Topic], *, now: datetime, until: datetime, limit: int
    ) -> tuple[Delivery, ...]:
        waiting = self._data.deliveries
        free = sorted((held, *key) for key, (held, _) in waiting.items() if held <= now and key[1] in topics)[:limit]
        records = {record.seq: record for record in self._data.log}
        claimed = []
        for key in sorted((seq, topic) for _, seq, topic in free):
            seq, topic = key
            _, had = waiting.pop(key)
            if seq in records and records[seq].at > now - DELIVERIES_STAY[topic]:
                waiting[key] = (until, had)
                claimed.append(Delivery(record=records[seq], topic=topic, had=had))
        return tuple(claimed)

    async def settle_delivery(self, seq: int, topic: Topic, *, had: Sequence[str], over: bool) -> None:
        if over:
            self._data.deliveries.pop((seq, topic), None)
        elif (seq, topic) in self._data.deliveries:
            self._data.deliveries[seq, topic] = (self._data.deliveries[seq, topic][0], tuple(had))

    async def purge(self, *, now: datetime, limit: int, clock_confirmed: bool = False) -> Purged:
        data = self._data
        newest, oldest = (data.log[-1].at, data.log[0].at) if data.log else (None, None)
        anomaly = clock_anomaly(now, newest=newest, before=data.purged_at or oldest, clock_confirmed=clock_confirmed)
        if anomaly is not None:
            return Purged(anomalies=(anomaly,))
        data.purged_at = now
        leaves = {leaf.record_id: leaf for tree in data.trees for leaf in tree.leaves}
        proved = {record.factor_id for record in data.log if record.event is EventName.VERIFIED}
        needed = proved | {id_ for some in data.factors.values() for id_ in some}
        gone = [
            record.seq
            for record in data.log
            if record.id in leaves
            and read_entry(leaves[record.id].entry).body_may_go(now.date())
            and not (record.event is EventName.FACTOR_ENROLLED and record.factor_id in needed)
        ][:limit]
        data.log, events = [record for record in data.log if record.seq not in gone], len(gone)
        over = [p.prompt.id for p in data.prompts.values() if p.prompt.expires_at <= now - PROMPTS_STAY][:limit]
        spent = [id_ for id_, row in data.tokens.items() if row.expires_at <= now - TOKENS_STAY][:limit]
        for prompt_id in over:
            del data.prompts[prompt_id]
            data.approvals.pop(prompt_id, None)
        for id_ in spent:
            del data.tokens[id_]
        records = {record.seq: record.at for record in data.log}
        data.deliveries = {
            (seq, topic): kept
            for (seq, topic), kept in data.deliveries.items()
            if records.get(seq, now) > now - DELIVERIES_STAY[topic]
        }
        more = limit in (events, len(over), len(spent))
        return Purged(events=events, prompts=len(over), tokens=len(spent), more=more)

    # prompts

    def _open(self, prompt_id: str, now: datetime) -> Prompt | None:
        stored = self._data.prompts.get(prompt_id)
        alive = stored is not None and stored.state is PromptState.OPEN and now < stored.prompt.expires_at
        return stored.prompt if stored is not None and alive else None

    def _close(self, prompt_id: str, state: PromptState) -> None:
        self._data.prompts[prompt_id] = replace(self._data.prompts[prompt_id], state=state)
        self._data.challenges.pop(prompt_id, None)

    async def ask(self, asked: PromptRequest, *, open_limit: int) -> Prompt | NoFactor | TooMany:
        data, now, asker = self._data, asked.now, asked.asker
        if asked.prompt_id in data.prompts:
            raise StoreError("a prompt of this id exists")
        ends = [
            stored.prompt.expires_at
            for stored in data.prompts.values()
            if (stored.prompt.workspace_id, stored.prompt.subject_id, stored.prompt.session) == asker
            and stored.state is not PromptState.PROVED
        ]
        ends += [
            row.expires_at
            for row in data.tokens.values()
            if (row.workspace_id, row.subject_id, row.session) == asker and row.state in _USABLE
        ]
        taken = [end for end in (*ends, *data.blocked.get(asker, ())) if end > now]
        if len(taken) >= open_limit:
            logged_at, unlogged = data.floods.get(asker, (None, 0))
            if logged_at is not None and abs(now - logged_at) < ONE_FLOOD_EVENT_PER:
                data.floods[asker] = (logged_at, unlogged + 1)
            else:
                self._log([flood_event(asked, also_refused_before=unlogged)])
                data.floods[asker] = (now, 0)
            return TooMany(retry_after=min(taken) - now if taken else ONE_FLOOD_EVENT_PER)
        workspace, subject, _ = asker
        policy = data.policies.get(workspace, StoredPolicy())
        hold = self._data.holds.get((workspace, subject))
        result = decide_prompt(asked, policy, self._enrolled((workspace, subject)), hold)
        self._log([*asked.extra_events, asking_event(asked, result)])
        if isinstance(result, Prompt):
            data.prompts[result.id] = StoredPrompt(prompt=result, state=PromptState.OPEN)
        else:
            data.blocked.setdefault(asker, []).append(now + PROMPT_LIFETIME)
        return result

    async def get_prompt(self, prompt_id: str, *, now: datetime) -> StoredPrompt | None:
        stored = self._data.prompts.get(prompt_id)
        return None if stored is None or stored.prompt.expires_at <= now else stored

    async def set_challenge(self, prompt_id: str, challenge: PendingChallenge, *, now: datetime) -> bool:
        if self._open(prompt_id, now) is None:
            return False
        self._data.challenges[prompt_id] = challenge
        return True

    async def pop_challenge(self, prompt_id: str, *, now: datetime) -> PendingChallenge | None:
        return None if self._open(prompt_id, now) is None else self._data.challenges.pop(prompt_id, None)

    async def cancel_prompt(self, prompt_id: str, *, event: AuditEvent | None, now: datetime) -> bool:
        stored = self._data.prompts.get(prompt_id)
        token = self._data.tokens.get(self._data.brought.get(prompt_id, 0))
        proved = stored is not None and stored.state is PromptState.PROVED and token is not None
        if proved and token is not None:
            if token.state not in _USABLE or token.expires_at <= now:
                return False
        elif self._open(prompt_id, now) is None:
            return False
        self._log([] if event is None else [event])
        if token is not None:
            self._data.tokens[token.reference.id] = replace(token, state=TokenState.REVOKED)
        self._close(prompt_id, PromptState.CANCELLED)
        return True

    # tokens

    async def issue_tokens(self, grants: Sequence[TokenGrant]) -> Sequence[TokenReference | GrantRefused]:
        refused = {grant.prompt.id: self._unprovable(grant) for grant in grants}
        proved = [grant for grant in grants if refused[grant.prompt.id] is None]
        self._log([grant.event for grant in proved])
        minted = {grant.prompt.id: self._mint(grant) for grant in proved}
        if proved:
            self._spend(proved[0])
        return [refused[grant.prompt.id] or minted[grant.prompt.id] for grant in grants]

    def _unprovable(self, grant: TokenGrant) -> GrantRefused | None:
        data, prompt = self._data, grant.prompt
        if self._open(prompt.id, grant.issued_at) is None:
            return GrantRefused.PROMPT_CLOSED
        _, approval = self._data.approvals.get(prompt.id, (0, None))
        if not may_be_proved(approval, grant.decider, grant.issued_at):
            return GrantRefused.PROMPT_CLOSED
        person = (prompt.workspace_id, prompt.subject_id)
        factor = data.factors.get(person, {}).get(grant.factor_id)
        count = factor.sign_count if isinstance(factor, WebAuthnFactor) else None
        refused = factor_refusal(grant, None if factor is None else (factor.kind.value, count))
        if refused is not None or factor is None:
            return refused or GrantRefused.FACTOR_GONE
        spent = max(data.steps[person], factor.last_step) if isinstance(factor, TOTPFactor) else 0
        late = grant.time_step is not None and grant.time_step <= spent
        return GrantRefused.STEP_SPENT if late else None

    def _spend(self, grant: TokenGrant) -> None:
        data, person = self._data, (grant.prompt.workspace_id, grant.prompt.subject_id)
        factor = data.factors[person][grant.factor_id]
        if isinstance(factor, WebAuthnFactor):
            backed_up = factor.backed_up if grant.backed_up is None else grant.backed_up
            used: Factor = replace(
                factor, sign_count=grant.sign_count or 0, backed_up=backed_up, last_used_at=grant.issued_at
            )
        else:
            used = replace(factor, last_used_at=grant.issued_at, last_step=grant.time_step or 0)
        data.factors[person][factor.id] = used
        data.attempts.pop((*person, grant.bucket), None)

    def _mint(self, grant: TokenGrant) -> TokenReference:
        data, prompt = self._data, grant.prompt
        data.minted += 1
        reference = TokenReference(data.minted, grant.nonce)
        data.tokens[reference.id] = TokenRow(
            reference=reference,
            state=grant.state,
            prompt_id=prompt.id,
            workspace_id=prompt.workspace_id,
            subject_id=prompt.subject_id,
            session=prompt.session,
            ip=prompt.ip,
            purpose=prompt.purpose,
            requirement=prompt.requirement,
            policy_version=prompt.policy_version,
            request_digest=prompt.request.digest(),
            details_digest=details_digest(prompt.details),
            factor_id=grant.factor_id,
            factor_kind=grant.factor_kind,
            issued_at=grant.issued_at,
            expires_at=grant.expires_at,
        )
        data.brought[prompt.id] = reference.id
        if prompt.id in data.approvals:
            self._change(proved(data.approvals[prompt.id][1], grant.decider, reference, grant.issued_at))
        self._close(prompt.id, PromptState.PROVED)
        return reference

    async def collect_token(self, reference: TokenReference, *, ttl: timedelta, now: datetime) -> datetime | None:
        row = self._data.tokens.get(reference.id)
        if row is None or row.reference != reference or row.state not in _USABLE or row.expires_at <= now:
            return None
        if row.state is TokenState.UNCOLLECTED:
            row = replace(row, state=TokenState.ISSUED, issued_at=now, expires_at=now + ttl)
            self._data.tokens[reference.id] = row
        return row.expires_at

    # approvals

    def _change(self, approval: Approval) -> None:
        self._data.changes += 1
        self._data.approvals[approval.prompt.id] = (self._data.changes, approval)

    async def ask_approval(self, new: Approval, *, event: AuditEvent, now: datetime) -> ApprovalRefused | None:
        person = (new.prompt.workspace_id, new.prompt.subject_id)
        waiting = await self.waiting_approvals(*person, now=now)
        asked = [
            kept.prompt.created_at
            for _, kept in self._data.approvals.values()
            if (kept.prompt.workspace_id, kept.prompt.subject_id) == person
        ]
        recent = sum(at > now - ASKED_WITHIN for at in asked)
        refused = refuse_approval(new, [(each.prompt.session, each.prompt.purpose) for each in waiting], recent)
        if refused is None:
            self._log([event])
            self._change(new)
        return refused

    async def get_approval(self, prompt_id: str) -> Approval | None:
        return self._data.approvals.get(prompt_id, (0, None))[1]

    async def approvals_by_code(self, code: bytes) -> tuple[Approval, ...]:
        return tuple(kept for _, kept in self._data.approvals.values() if kept.code == code)

    async def waiting_approvals(self, workspace_id: str, subject_id: str, *, now: datetime) -> tuple[Approval, ...]:
        person = (workspace_id, subject_id)
        return tuple(
            kept
            for _, kept in self._data.approvals.values()
            if (kept.prompt.workspace_id, kept.prompt.subject_id) == person and kept.waits(now)
        )

    async def decided_approvals(self, workspace_id: str, subject_id: str, *, after: datetime) -> tuple[Approval, ...]:
        decided = [
            (kept.decided_at, kept)
            for _, kept in self._data.approvals.values()
            if (kept.prompt.workspace_id, kept.prompt.subject_id) == (workspace_id, subject_id)
            and kept.state in (ApprovalState.APPROVED, ApprovalState.DENIED)
            and kept.decided_at is not None
            and kept.decided_at > after
        ]
        return tuple(kept for _, kept in sorted(decided, key=lambda each: each[0], reverse=True))

    async def match_approval(
        self, prompt_id: str, digits: str, *, decider: Decider, wrong: AuditEvent, denied: AuditEvent, now: datetime
    ) -> Approval | None:
        before = await self.get_approval(prompt_id)
        after = None if before is None else with_digits(before, digits, decider, now)
        if before is None or after is None:
            return None
        if after.state is ApprovalState.DENIED:
            self._log([denied])
        elif after.tries > before.tries:
            self._log([wrong])
        self._change(after)
        return after

    async def end_approval(self, prompt_id: str, end: ApprovalEnd, *, event: AuditEvent | None) -> bool:
        approval = await self.get_approval(prompt_id)
        if approval is None or not approval.waits(end.at):
            return False
        self._log([] if event is None else [event])
        self._change(ended(approval, end))
        return True

    async def end_approvals_of_session(
        self, workspace_id: str, subject_id: str, session: str, end: ApprovalEnd
    ) -> None:
        for approval in await self.waiting_approvals(workspace_id, subject_id, now=end.at):
            if in_session(approval.prompt.session, session):
                self._change(ended(approval, end))

    async def approval_news(self, *, after: ApprovalMark | None, limit: int) -> ApprovalNews:
        now = ApprovalMark(self._data.epoch, self._data.changes)
        if after is None or after.epoch != now.epoch:
            return ApprovalNews(now)
        kept = sorted((number, kept.prompt) for number, kept in self._data.approvals.values() if number > after.number)
        changes = tuple(
            ApprovalChange(number, prompt.id, prompt.workspace_id, prompt.subject_id) for number, prompt in kept[:limit]
        )
        return ApprovalNews(ApprovalMark(now.epoch, changes[-1].number) if len(changes) == limit else now, changes)

    async def redeem(self, shown: Presentation) -> Redemption:
        row = self._data.tokens.get(shown.reference.id)
        if row is not None and row.reference != shown.reference:
            row = None
        if row is not None and row.reference.id in self._data.authorized:
            row = replace(row, state=TokenState.REDEEMED)  # whatever the row says
        if row is not None and row.state is TokenState.REDEEMED and row.attempt == shown.attempt:
            return Redemption(decision=Decision(verdict=Verdict.REDEEMED), row=row)
        person = None if row is None else (row.workspace_id, row.subject_id)
        live = row is not None and person is not None and row.factor_id in self._data.factors.get(person, {})
        hold = None if person is None else self._data.holds.get(person)
        decision = decide(row, shown, factor_live=live, held=hold is not None and shown.now < hold.until)
        after, replay = row, None
        if row is not None and decision.verdict is Verdict.REDEEMED:
            after = replace(
                row,
                state=TokenState.REDEEMED,
                attempt=shown.attempt,
                redeemed_at=shown.now,
                redeemed_ip=shown.ip,
                redeemed_user_agent=shown.user_agent,
            )
        elif row is not None and decision.verdict is Verdict.REUSED:
            replay = replay_of(shown, row)
            after = replace(row, replays=replay.after)
        elif row is not None and decision.revoke and row.state is TokenState.ISSUED:
            after = replace(row, state=TokenState.REVOKED)
        if replay is None or replay.told:
            self._log(presentation_events(shown, decision, row, replay=replay))
        if after is not None:
            self._data.tokens[after.reference.id] = after
        return Redemption(decision=decision, row=after)

    def _revoke(self, rows: Iterable[TokenRow]) -> None:
        for row in tuple(rows):
            if row.state in _USABLE:
                self._data.tokens[row.reference.id] = replace(row, state=TokenState.REVOKED)

    async def revoke_session(self, workspace_id: str, subject_id: str, session: str, *, now: datetime) -> None:
        end = ApprovalEnd(state=ApprovalState.CANCELLED, reason=EndReason.SIGNED_OUT, at=now)
        await self.end_approvals_of_session(workspace_id, subject_id, session, end)

        def is_over(of: TokenRow | Prompt) -> bool:
            return (of.workspace_id, of.subject_id) == (workspace_id, subject_id) and in_session(of.session, session)

        self._revoke(row for row in self._data.tokens.values() if is_over(row))
        for stored in tuple(self._data.prompts.values()):
            prompt = stored.prompt
            if is_over(prompt):
                self._close(prompt.id, PromptState.CANCELLED)

    async def revoke_all(self, *, event: AuditEvent | None, now: datetime) -> None:
        self._log([] if event is None else [event])
        self._revoke(self._data.tokens.values())
        self._data.prompts.clear()
        self._data.approvals.clear()
        self._data.challenges.clear()
        self._data.epoch += 1

    # attempts, time-steps, policy

    async def reserve_attempt(
        self, workspace_id: str, subject_id: str, bucket: str, *, limit: AttemptLimit, now: datetime
    ) -> TooMany | None:
        key = (workspace_id, subject_id, bucket)
        counted = count_attempt(self._data.attempts.get(key), limit, now)
        if isinstance(counted, TooMany):
            return counted
        self._data.attempts[key] = counted
        return None

    async def last_time_step(self, workspace_id: str, subject_id: str) -> int:
        return self._data.steps[workspace_id, subject_id]

    def _last_step(self, person: Person) -> int:
        """Return the last step that any factor of a person has spent."""
        factors = self._data.factors.get(person, {}).values()
        return max((factor.last_step for factor in factors if isinstance(factor, TOTPFactor)), default=0)

    async def advance_time_step(self, workspace_id: str, subject_id: str, step: int) -> bool:
        if step <= max(self._data.steps[workspace_id, subject_id], self._last_step((workspace_id, subject_id))):
            return False
        self._data.steps[workspace_id, subject_id] = step
        return True

    async def get_policy(self, workspace_id: str) -> StoredPolicy:
        return self._data.policies.get(workspace_id, StoredPolicy())

    async def set_policy(
        self, workspace_id: str, changes: Sequence[tuple[str, str]], events: Sequence[AuditEvent], *, now: datetime
    ) -> StoredPolicy:
        before = await self.get_policy(workspace_id)
        after = StoredPolicy(version=before.version + 1, values={**before.values, **dict(changes)})
        self._log([replace(event, policy_version=after.version) for event in events])
        self._data.policies[workspace_id] = after
        return after

    # factors

    def _enrolled(self, person: Person) -> list[EnrolledFactor]:
        factors = sorted(self._data.factors.get(person, {}).values(), key=lambda factor: (factor.created_at, factor.id))
        return [EnrolledFactor(factor.id, factor.kind) for factor in factors]

    async def check_mac_keys(self) -> MissingKeys:
        return MissingKeys((), ())

    def on_tampering(self, taker: TamperTaker) -> None:
        """Nobody else writes to this memory."""

    async def list_factors(self, workspace_id: str, subject_id: str) -> tuple[Factor, ...]:
        person = (workspace_id, subject_id)
        factors = [self._data.factors[person][enrolled.id] for enrolled in self._enrolled(person)]
        return tuple(factors)

    async def user_handle(self, workspace_id: str, subject_id: str, *, fresh: bytes) -> bytes:
        return self._data.handles.setdefault((workspace_id, subject_id), fresh)

    async def begin_enrolment(self, enrolment: Enrolment, *, now: datetime) -> None:
        key = (enrolment.workspace_id, enrolment.subject_id, enrolment.session, enrolment.kind)
        self._data.enrolments[key] = enrolment

    async def pop_enrolment(
        self, workspace_id: str, subject_id: str, session: str, kind: FactorKind, *, id: str | None, now: datetime
    ) -> Enrolment | None:
        found = self._data.enrolments.get((workspace_id, subject_id, session, kind))
        if found is None or now >= found.expires_at or id not in (None, found.id):
            return None
        return self._data.enrolments.pop((workspace_id, subject_id, session, kind))

    async def get_enrolment(
        self, workspace_id: str, subject_id: str, session: str, kind: FactorKind, *, id: str, now: datetime
    ) -> Enrolment | None:
        found = self._data.enrolments.get((workspace_id, subject_id, session, kind))
        return None if found is None or now >= found.expires_at or id != found.id else found

    async def add_webauthn_factor(
        self,
        workspace_id: str,
        subject_id: str,
        factor: WebAuthnFactor,
        *,
        event: AuditEvent,
        begun: Enrolment | None = None,
    ) -> bool:
        person = (workspace_id, subject_id)
        everyones = [one for some in self._data.factors.values() for one in some.values()]
        known = [one.credential_id for one in everyones if isinstance(one, WebAuthnFactor)]
        if factor.credential_id in known or not self._may_add(begun, event.at):
            return False
        self._log([event])
        self._spend_right(person)
        self._data.factors.setdefault(person, {})[factor.id] = factor
        return True

    async def add_totp_factor(
        self,
        workspace_id: str,
        subject_id: str,
        factor: TOTPFactor,
        *,
        begun: Enrolment,
        event: AuditEvent,
    ) -> bool:
        person = (workspace_id, subject_id)
        pending = [key for key, one in self._data.enrolments.items() if one.id == begun.id and key[:2] == person]
        if not pending or factor.last_step <= self._data.steps[person] or not self._may_add(begun, event.at):
            return False
        self._log([event])
        self._spend_right(person)
        del self._data.enrolments[pending[0]]
        self._data.factors.setdefault(person, {})[factor.id] = factor
        self._data.attempts.pop((*person, FactorKind.TOTP.value), None)
        return True

    def _may_add(self, begun: Enrolment | None, now: datetime) -> bool:
        if begun is None:
            return True
        person = (begun.workspace_id, begun.subject_id)
        factors = self._data.factors.get(person, {}).values()
        before = any(factor.created_at <= begun.begun_at for factor in factors)
        if not begun.basis.still_holds(has_factors=bool(factors), had_before=before):
            return False
        if not begun.basis.takes_right:
            return True
        right = self._data.rights.get(person)
        return right is not None and right.basis is begun.basis and right.serves(begun.session, begun.ip, now)

    def _spend_right(self, person: Person) -> None:
        self._data.passes.pop(person, None)
        self._data.rights.pop(person, None)

    async def import_factors(
        self, new: Sequence[NewFactor], *, had: Mapping[Person, Set[str]] | None = None, dry_run: bool = False
    ) -> tuple[int, ...]:
        registered = {
            factor.credential_id
            for some in self._data.factors.values()
            for factor in some.values()
            if isinstance(factor, WebAuthnFactor)
        }
        taken = [
            index
            for index, (_, _, factor, _) in enumerate(new)
            if isinstance(factor, WebAuthnFactor) and factor.credential_id in registered
        ]
        if not taken and not dry_run:
            if any(self._data.factors.get(person, {}).keys() - seen for person, seen in (had or {}).items()):
                raise StoreError("somebody enrolled a factor: run it again")
            self._log([one.event for one in new])
            for workspace_id, subject_id, factor, made in new:
                self._data.factors.setdefault((workspace_id, subject_id), {})[factor.id] = factor
                known = KnownPerson(subject_id=subject_id, name=made.subject_name)
                self._data.people.setdefault((workspace_id, subject_id), known)
        return tuple(taken)

    async def rename_factor(self, workspace_id: str, subject_id: str, factor_id: str, name: str) -> bool:
        factors = self._data.factors.get((workspace_id, subject_id), {})
        if factor_id not in factors:
            return False
        factors[factor_id] = replace(factors[factor_id], name=name)
        return True

    async def remove_factor(
        self,
        workspace_id: str,
        subject_id: str,
        factor_id: str,
        *,
        event: AuditEvent,
        now: datetime,
        only_spare: bool = False,
    ) -> bool:
        person = (workspace_id, subject_id)
        if factor_id not in self._data.factors.get(person, {}):
            return False
        if only_spare and not may_remove(self._enrolled(person), factor_id):
            return False
        self._log([event])
        gone = self._data.factors[person].pop(factor_id)
        if isinstance(gone, TOTPFactor):
            self._data.steps[person] = max(self._data.steps[person], gone.last_step)
        return True

    async def reencrypt_secrets(self, limit: int, after: str, rewrite: Rewrite) -> str | None:
        found: list[tuple[str, Person, TOTPFactor]] = sorted(
            (
                (factor.id, person, factor)
                for person, some in self._data.factors.items()
                for factor in some.values()
                if isinstance(factor, TOTPFactor) and factor.id > after
            ),
            key=lambda one: one[0],
        )[:limit]
        try:
            secrets: list[Any] = [rewrite(factor.encrypted_secret, (*person, id_)) for id_, person, factor in found]
        except Exception as error:
            raise StoreError(f"a secret cannot be rewritten: {error}") from error
        for (id_, person, factor), secret in zip(found, secrets, strict=True):
            self._data.factors[person][id_] = replace(factor, encrypted_secret=secret)
        return found[-1][0] if len(found) == limit else None

    # passes, recovery codes, holds, resets, people

    def _still_proved(self, proof: Proof | None) -> bool:
        return proof is None or proof.factor_id in self._data.factors.get((proof.workspace_id, proof.subject_id), {})

    async def issue_pass(self, new: EnrolmentPass, *, event: AuditEvent, proof: Proof | None = None) -> bool:
        person = (new.workspace_id, new.subject_id)
        if self._enrolled(person) or not self._still_proved(proof):
            return False
        self._log([event])
        self._data.passes[person] = new
        return True

    async def open_pass(self, workspace_id: str, subject_id: str) -> EnrolmentPass | None:
        return self._data.passes.get((workspace_id, subject_id))

    async def take_pass(
        self, digest: bytes, *, right: EnrolmentRight, event: AuditEvent, now: datetime
    ) -> PassRefused | None:
        person = (right.workspace_id, right.subject_id)
        found = self._data.passes.get(person)
        refused = refuse_pass(found, digest, now=now, has_factors=bool(self._enrolled(person)))
        if refused is PassRefused.WRONG and found is not None:
            self._data.passes[person] = replace(found, tries=found.tries + 1)
        if refused is not None or found is None:
            return refused
        self._log([event])
        self._data.passes[person] = replace(found, used_at=now)
        self._data.rights[person] = right
        return None

    async def enrolment_right(self, workspace_id: str, subject_id: str) -> EnrolmentRight | None:
        return self._data.rights.get((workspace_id, subject_id))

    async def put_recovery_codes(self, codes: RecoveryCodes, *, event: AuditEvent) -> bool:
        person = (codes.workspace_id, codes.subject_id)
        if not self._enrolled(person):
            return False
        self._log([event])
        self._data.codes[person] = codes
        return True

    async def recovery_codes(self, workspace_id: str, subject_id: str) -> RecoveryCodes | None:
        return self._data.codes.get((workspace_id, subject_id))

    async def use_recovery_code(
        self, set_id: str, number: int, *, right: EnrolmentRight, hold: Hold | None, bucket: str, event: AuditEvent
    ) -> bool:
        person = (right.workspace_id, right.subject_id)
        codes = self._data.codes.get(person)
        if codes is None or codes.id != set_id or number in codes.used or not 0 <= number < len(codes.hashes):
            return False
        self._log([event])
        self._data.codes[person] = replace(codes, used=codes.used | {number})
        self._data.rights[person] = right
        self._put_hold(hold)
        self._data.attempts.pop((*person, bucket), None)
        return True

    def _put_hold(self, hold: Hold | None) -> None:
        if hold is None:
            return
        standing = self._data.holds.get((hold.workspace_id, hold.subject_id))
        if standing is None or standing.until < hold.until:
            self._data.holds[hold.workspace_id, hold.subject_id] = hold

    async def hold_of(self, workspace_id: str, subject_id: str, *, now: datetime) -> Hold | None:
        hold = self._data.holds.get((workspace_id, subject_id))
        return None if hold is None or hold.until <= now else hold

    async def request_reset(self, request: ResetRequest, *, event: AuditEvent, proof: Proof | None = None) -> bool:
        if not self._still_proved(proof):
            return False
        self._log([event])
        self._data.requests[request.workspace_id, request.subject_id] = request
        return True

    async def reset_requests(self, workspace_id: str, *, now: datetime) -> tuple[ResetRequest, ...]:
        waiting = [one for one in self._data.requests.values() if one.workspace_id == workspace_id]
        return tuple(sorted((one for one in waiting if one.expires_at > now), key=lambda one: one.requested_at))

    async def drop_reset_request(self, request: ResetRequest, *, event: AuditEvent) -> bool:
        person = (request.workspace_id, request.subject_id)
        standing = self._data.requests.get(person)
        if standing is None or standing.id != request.id:
            return False
        self._log([event])
        del self._data.requests[person]
        return True

    async def reset_factors(self, wanted: FactorsReset, events: Sequence[AuditEvent], *, now: datetime) -> bool:
        data, person = self._data, (wanted.workspace_id, wanted.subject_id)
        standing = data.requests.get(person)
        if wanted.request is not None and (wanted.request != standing or standing.expires_at <= now):
            return False
        if not self._still_proved(wanted.proof):
            return False
        self._take_back(*person, events[0])
        self._log(events)
        end = ApprovalEnd(state=ApprovalState.CANCELLED, reason=EndReason.SIGNED_OUT, at=now)
        for approval in await self.waiting_approvals(*person, now=now):
            self._change(ended(approval, end))
        rows = data.tokens.values()
        self._revoke(row for row in rows if (row.workspace_id, row.subject_id) == person)
        for stored in tuple(data.prompts.values()):
            if (stored.prompt.workspace_id, stored.prompt.subject_id) == person:
                self._close(stored.prompt.id, PromptState.CANCELLED)
        data.steps[person] = max(data.steps[person], self._last_step(person))
        for kept in (data.factors, data.codes, data.requests):
            kept.pop(person, None)
        self._spend_right(person)
        for enrolment in [key for key in data.enrolments if key[:2] == person]:
            del data.enrolments[enrolment]
        for attempt in [key for key in data.attempts if key[:2] == person]:
            del data.attempts[attempt]
        self._put_hold(wanted.hold)
        if wanted.new_pass is not None:
            data.passes[person] = wanted.new_pass
        return True

    def _take_back(self, workspace_id: str, subject_id: str, reset_of: AuditEvent) -> None:
        data = {"withdrawn": True, "untold": True}
        for requested in [one for one in self._data.requests.values() if one.requested_by == subject_id]:
            if requested.workspace_id == workspace_id:
                about = {**data, "person": requested.subject_id, "request": requested.id}
                self._log([replace(reset_of, name=EventName.FACTORS_RESET_REQUESTED, prompt_id="", data=about)])
                del self._data.requests[workspace_id, requested.subject_id]
        for issued in [one for one in self._data.passes.values() if one.issued_by == subject_id]:
            if issued.workspace_id == workspace_id and issued.used_at is None:
                about = {**data, "person": issued.subject_id}
                self._log([replace(reset_of, name=EventName.ENROLMENT_PASS_ISSUED, prompt_id="", data=about)])
                del self._data.passes[workspace_id, issued.subject_id]

    async def note_person(self, workspace_id: str, person: KnownPerson) -> None:
        self._data.people[workspace_id, person.subject_id] = person

    async def get_person(self, workspace_id: str, subject_id: str) -> KnownPerson | None:
        return self._data.people.get((workspace_id, subject_id))

    def _people(self, workspace_id: str, wanted: PeopleFilter) -> list[tuple[str, KnownPerson]]:
        found = []
        for (workspace, subject), person in self._data.people.items():
            kinds = [factor.kind for factor in self._enrolled((workspace, subject))]
            text = folded("\n".join((person.name, person.login, subject)))
            lacks = wanted.lacking is None or not any(wanted.lacking.accepts(kind) for kind in kinds)
            enrolled = wanted.enrolled is None or wanted.enrolled == bool(kinds)
            if workspace == workspace_id and folded(wanted.text) in text and lacks and enrolled:
                found.append(((person.name or person.login or subject).casefold(), person))
        return sorted(found, key=lambda one: (one[0], one[1].subject_id))

    async def people(
        self, workspace_id: str, wanted: PeopleFilter, *, after: str | None = None, limit: int
    ) -> PeoplePage:
        start = tuple(place_of(after))
        found = [one for one in self._people(workspace_id, wanted) if (one[0], one[1].subject_id) > start]
        shown = found[:limit]
        last = json.dumps([shown[-1][0], shown[-1][1].subject_id]) if len(found) > limit and shown else None
        return PeoplePage(people=tuple(person for _, person in shown), next=last)

    async def count_people(self, workspace_id: str, wanted: PeopleFilter) -> int:
        return len(self._people(workspace_id, wanted))
