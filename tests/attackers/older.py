"""Older copies of the rows by which a person enrols without a factor, put back while the app runs.

People's lives go on at random; after each step earlier copies of each table are put back. Nothing may count by them
that does not count without them, and nothing may be done by them.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import EnrolmentBasis, FactorKind
from stepup_middleware.core.recovery import EnrolmentPass, EnrolmentRight, RecoveryCodes, ResetRequest
from stepup_middleware.core.subject import Subject
from stepup_middleware.stores.records import NewFactor
from stepup_middleware.stores.sealing import Tampered
from stepup_middleware.stores.sql.store import SQLStore
from stepup_middleware.testing.contract.recovery_values import (
    ISSUED,
    RESET,
    TAKEN,
    USED,
    a_hold,
    a_pass,
    a_request,
    a_reset,
    a_right,
    codes_for,
)
from stepup_middleware.testing.contract.values import MACS, NOW, OWNER, enrolment, event, passkey

from .attacked import Tally
from .raw import Raw, Row

TABLES = ("enrolment_passes", "enrolment_rights", "recovery_codes", "reset_requests")
ADA, BEN = (replace(OWNER, id=id_, session_id=f"s-{id_}") for id_ in ("u-ada", "u-ben"))
Counted = Mapping[tuple[str, str], Any]
Copies = Mapping[str, Sequence[Row]]


@dataclass
class Lives:
    """Two people of an app, and what becomes of how they may enrol."""

    store: SQLStore
    chance: random.Random
    told: list[Tampered] = field(default_factory=list)
    _moment: int = 0

    def __post_init__(self) -> None:
        self.store.records.on_tampering(self.told.append)

    async def step(self) -> str:
        """Do one thing to one of them, whether it can be done or not, and return what it was."""
        subject = self.chance.choice([ADA, BEN])
        acts: Sequence[Callable[[Subject], Awaitable[object]]] = [
            self.issue, self.issue, self.take, self.take, self.mistype, self.renew, self.renew, self.use, self.use,
            self.use, self.enrol, self.enrol, self.bring, self.bring, self.lose, self.reset, self.request,
            self.request, self.withdraw, self.confirm,
        ]  # fmt: skip
        act = self.chance.choice(acts)
        await act(subject)
        return f"{act.__name__} {subject.id}"

    def right(self, subject: Subject, basis: EnrolmentBasis) -> EnrolmentRight:
        """Return a right unlike any before: each ends a moment later."""
        self._moment += 1
        return a_right(subject, basis, expires_at=NOW + timedelta(minutes=10, microseconds=self._moment))

    async def issue(self, subject: Subject) -> object:
        new = a_pass(subject, digest=self.chance.randbytes(32))
        return await self.store.records.issue_pass(new, event=ISSUED)

    async def take(self, subject: Subject, found: EnrolmentPass | None = None) -> bool:
        found = found or await self.store.records.open_pass(subject.workspace_id, subject.id)
        if found is None:
            return False
        right = self.right(subject, EnrolmentBasis.PASS)
        return await self.store.records.take_pass(found.digest, right=right, event=TAKEN, now=NOW) is None

    async def mistype(self, subject: Subject) -> object:
        right = self.right(subject, EnrolmentBasis.PASS)
        return await self.store.records.take_pass(self.chance.randbytes(32), right=right, event=TAKEN, now=NOW)

    async def renew(self, subject: Subject) -> object:
        made = event(EventName.RECOVERY_CODES_ISSUED)
        return await self.store.records.put_recovery_codes(codes_for(subject), event=made)

    async def use(self, subject: Subject, codes: RecoveryCodes | None = None) -> bool:
        """Use each code of a set that can be used, or the first one that can."""
        given = codes
        codes = codes or await self.store.records.recovery_codes(subject.workspace_id, subject.id)
        if codes is None:
            return False
        for number in sorted(set(range(len(codes.hashes))) - codes.used):
            right = self.right(subject, EnrolmentBasis.RECOVERY)
            done = await self.store.records.use_recovery_code(
                codes.id, number, right=right, hold=a_hold(subject), bucket="recovery", event=USED
            )
            if done or given is None:
                return done
        return False

    async def enrol(self, subject: Subject, right: EnrolmentRight | None = None) -> bool:
        right = right or await self.store.records.enrolment_right(subject.workspace_id, subject.id)
        basis = EnrolmentBasis.SIGN_IN if right is None else right.basis
        begun = enrolment(subject, FactorKind.PASSKEY, basis=basis)
        factor, name = passkey(), EventName.FACTOR_ENROLLED
        enrolled = event(name, workspace_id=subject.workspace_id, subject_id=subject.id, factor_id=factor.id)
        return await self.store.records.add_webauthn_factor(
            subject.workspace_id, subject.id, factor, event=enrolled, begun=begun
        )

    async def bring(self, subject: Subject) -> object:
        factor = passkey()
        enrolled = event(EventName.FACTOR_ENROLLED, subject_id=subject.id, factor_id=factor.id)
        return await self.store.records.import_factors([NewFactor(subject.workspace_id, subject.id, factor, enrolled)])

    async def lose(self, subject: Subject) -> None:
        for factor in await self.store.records.list_factors(subject.workspace_id, subject.id):
            gone = event(EventName.FACTOR_REMOVED, subject_id=subject.id, factor_id=factor.id)
            await self.store.records.remove_factor(subject.workspace_id, subject.id, factor.id, event=gone, now=NOW)

    async def reset(self, subject: Subject, request: ResetRequest | None = None) -> bool:
        new = self.chance.choice([None, a_pass(subject, digest=self.chance.randbytes(32))])
        hold = self.chance.choice([None, a_hold(subject)])
        events = [RESET, *([ISSUED] if new else [])]
        wanted = a_reset(subject, hold=hold, new_pass=new, request=request)
        return await self.store.reset_factors(wanted, events, now=NOW)

    async def request(self, subject: Subject) -> None:
        requested = event(EventName.FACTORS_RESET_REQUESTED)
        await self.store.records.request_reset(a_request(subject, id=secrets.token_hex(8)), event=requested)

    async def waiting(self, subject: Subject) -> ResetRequest | None:
        found = await self.store.records.reset_requests(subject.workspace_id, now=NOW)
        return next((request for request in found if request.subject_id == subject.id), None)

    async def withdraw(self, subject: Subject) -> None:
        if request := await self.waiting(subject):
            requested = event(EventName.FACTORS_RESET_REQUESTED)
            await self.store.records.drop_reset_request(request, event=requested)

    async def confirm(self, subject: Subject) -> None:
        if request := await self.waiting(subject):
            await self.reset(subject, request)

    async def counted(self) -> Counted:
        """Return what counts, by table and person."""
        records, found = self.store.records, dict[tuple[str, str], Any]()
        for subject in (ADA, BEN):
            person = (subject.workspace_id, subject.id)
            kept = await records.open_pass(*person)
            # the threat model grants the count of wrong ones
            found["enrolment_passes", subject.id] = None if kept is None else replace(kept, tries=0)
            found["enrolment_rights", subject.id] = await records.enrolment_right(*person)
            found["recovery_codes", subject.id] = await records.recovery_codes(*person)
            found["reset_requests", subject.id] = await self.waiting(subject)
        return found

    async def try_it(self, counts: Counted, before: Counted, table: str) -> str | None:
        """Try what an older copy says may be done. Returns what was done by it, None where nothing was."""
        for subject in (ADA, BEN):
            old, now = before[table, subject.id], counts[table, subject.id]
            match old:
                case EnrolmentPass() if old.used_at is None and (now is None or old.id != now.id or now.used_at):
                    if await self.take(subject, old):
                        return f"the pass {old.id} was taken"
                case RecoveryCodes() if now is None or old.id != now.id:
                    if await self.use(subject, old):
                        return f"a code of {old.id} was used"
                case RecoveryCodes() if used := now.used - old.used:
                    if await self.use(subject, replace(old, used=frozenset(range(len(old.hashes))) - used)):
                        return f"a used code of {old.id} was used again"
                case EnrolmentRight() if old != now:
                    if await self.enrol(subject, old):
                        return f"the right until {old.expires_at} was used"
                case ResetRequest() if old != now:
                    if await self.reset(subject, old):
                        return f"the reset {old.id} was confirmed"
        return None


async def put_back(raw: Raw, seed: int, *, steps: int, lately: int) -> Tally:
    """Live for some steps; after each put back each copy of the last few steps, after the last one each of all."""
    chance, tally = random.Random(seed), Tally()  # noqa: S311 - which lives are tried, no secret
    async with raw.store().use(MACS) as store:
        lives = Lives(store, chance)
        copies: list[tuple[str, Copies, Counted]] = []
        await lives.bring(ADA)
        for number in range(steps):
            rows, done = (copies[-1][1] if copies else {}), ""
            while not done or (copies and rows == copies[-1][1]):  # until something becomes of it
                done = await lives.step()
                rows = {table: await raw.rows(table) for table in TABLES}
            counts = await lives.counted()
            assert lives.told == [], (done, lives.told)  # what honest people do is no alarm
            for what, older, before in copies if number == steps - 1 else copies[-lately:]:
                for table in TABLES:
                    if older[table] == rows[table]:
                        continue
                    assert await raw.put(table, older[table])
                    after, told = await lives.counted(), len(lives.told)
                    tally.tried += 1
                    more = [name for name, value in after.items() if value not in (None, counts[name])]
                    if more:
                        tally.undetected.append(f"{table} of after {what}, after {done}: {more} count")
                    elif told:
                        tally.found += 1
                    else:
                        tally.harmless += 1  # what was there is gone, as after a row taken away
                    if exploited := await lives.try_it(counts, before, table):
                        tally.undetected.append(f"{table} of after {what}, after {done}: {exploited}")
                    for name in TABLES:
                        assert await raw.put(name, rows[name])
                    lives.told.clear()
            copies.append((done, rows, counts))
    return tally
