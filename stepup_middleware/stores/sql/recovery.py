"""Passes, rights, recovery codes, holds, resets and people in the database.

Each verb locks the person before it judges: nobody else changes any of their rows until the commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from stepup_middleware.core.approvals import ApprovalEnd, ApprovalState, EndReason
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.factors import Enrolment
from stepup_middleware.core.moments import iso, to_micros
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.recovery import (
    EnrolmentPass,
    EnrolmentRight,
    FactorsReset,
    Hold,
    PassRefused,
    Person,
    RecoveryCodes,
    ResetRequest,
    refuse_pass,
)
from stepup_middleware.core.standing import Told, about
from stepup_middleware.stores.recovery_rows import (
    CODES,
    PASSES,
    PEOPLE,
    REQUESTS,
    RIGHTS,
    codes_row,
    hold_of,
    pass_row,
    person_row,
    request_row,
    right_row,
)

from . import approvals
from .enrolled import count_enrolled, enrolled, missed
from .standing import PASS, RECOVERY_CODES, RIGHT, waiting
from .transaction import Transaction


async def _still_proved(transaction: Transaction, proof: Proof | None) -> bool:
    """Lock the admin who proved themselves, and tell whether the factor by which they did is still theirs.

    None is an operator, of whom no proof is asked. The admin comes before the person concerned. Of two who reset each
    other the database stops one, whose act is begun anew and finds its factor gone.
    """
    if proof is None:
        return True
    admin = (proof.workspace_id, proof.subject_id)
    await transaction.fetch_one("lock_person", *admin)
    return any(factor.id == proof.factor_id for factor in await enrolled(transaction, *admin))


async def issue_pass(transaction: Transaction, new: EnrolmentPass, event: AuditEvent, proof: Proof | None) -> bool:
    """Keep a pass for a person without factors."""
    if not await _still_proved(transaction, proof):
        return False
    person = (new.workspace_id, new.subject_id)
    await transaction.fetch_one("lock_person", *person)
    if await enrolled(transaction, *person):
        return False
    await _put_pass(transaction, new)
    transaction.append(_about(event, new.subject_id, new_pass=new))
    return True


async def _put_pass(transaction: Transaction, new: EnrolmentPass) -> None:
    await transaction.execute("put_pass", *PASSES.sealed(transaction.macs, pass_row(new)))


async def take_pass(
    transaction: Transaction, digest: bytes, right: EnrolmentRight, event: AuditEvent, now: datetime
) -> PassRefused | None:
    """Take a pass, or count a wrong one."""
    person = (right.workspace_id, right.subject_id)
    await transaction.fetch_one("lock_person", *person)
    found = await PASS.of(transaction, *person)
    has_factors = bool(await enrolled(transaction, *person))
    refused = refuse_pass(found, digest, now=now, has_factors=has_factors)
    if refused is PassRefused.WRONG and found is not None:
        await _put_pass(transaction, replace(found, tries=found.tries + 1))
    if refused is not None or found is None:
        return refused
    await _put_pass(transaction, replace(found, used_at=now))
    await _put_right(transaction, right)
    transaction.append(_about(event, right.subject_id, new_pass=found, right=right))
    return None


async def _put_right(transaction: Transaction, right: EnrolmentRight) -> None:
    await transaction.execute("put_right", *RIGHTS.sealed(transaction.macs, right_row(right)))


async def may_add(transaction: Transaction, begun: Enrolment, now: datetime) -> bool:
    """Lock the person, and tell whether what an enrolment began on still holds."""
    person = (begun.workspace_id, begun.subject_id)
    await transaction.fetch_one("lock_person", *person)
    number, before = await count_enrolled(transaction, *person, by=to_micros(begun.begun_at))
    if not begun.basis.still_holds(has_factors=number > 0, had_before=before > 0):
        return False
    if begun.basis.takes_right:
        right = await RIGHT.of(transaction, *person)
        if right is None or right.basis is not begun.basis or not right.serves(begun.session, begun.ip, now):
            return False
    elif number == 0 and await missed(transaction, *person):
        return False  # rows were taken away: an admin's pass opens it, a sign-in does not
    return True


async def spend_right(transaction: Transaction, workspace_id: str, subject_id: str) -> None:
    """Take away what could open one more first factor: one has been added."""
    await transaction.execute("drop_pass", workspace_id, subject_id)
    await transaction.execute("drop_right", workspace_id, subject_id)


async def put_codes(transaction: Transaction, codes: RecoveryCodes, event: AuditEvent) -> bool:
    """Keep a set of recovery codes for a person with factors."""
    person = (codes.workspace_id, codes.subject_id)
    await transaction.fetch_one("lock_person", *person)
    if not await enrolled(transaction, *person):
        return False
    await transaction.execute("put_codes", *CODES.sealed(transaction.macs, codes_row(codes)))
    transaction.append(_about(event, codes.subject_id, set=codes.id))
    return True


async def use_code(
    transaction: Transaction,
    set_id: str,
    number: int,
    right: EnrolmentRight,
    hold: Hold | None,
    bucket: str,
    event: AuditEvent,
) -> bool:
    """Use a recovery code that nobody used before."""
    person = (right.workspace_id, right.subject_id)
    await transaction.fetch_one("lock_person", *person)
    codes = await RECOVERY_CODES.of(transaction, *person)
    if codes is None or codes.id != set_id or number in codes.used or not 0 <= number < len(codes.hashes):
        return False
    codes = replace(codes, used=codes.used | {number})
    await transaction.execute("put_codes", *CODES.sealed(transaction.macs, codes_row(codes)))
    await _put_right(transaction, right)
    await transaction.execute_many("clear_attempts", [(*person, bucket)])
    transaction.append(_about(event, right.subject_id, right=right, begun=_hold(hold), set=codes.id, code=number))
    return True


def _about(
    event: AuditEvent,
    subject_id: str,
    *,
    new_pass: EnrolmentPass | None = None,
    right: EnrolmentRight | None = None,
    begun: Mapping[str, Told] | None = None,
    **data: Told,
) -> AuditEvent:
    """Return an event with what core.standing reads of it."""
    if new_pass is not None:
        data["pass"] = new_pass.id
    if right is not None:
        data["until"] = iso(right.expires_at)
    return about(event, subject_id, **data, **(begun or {}))


def _hold(hold: Hold | None) -> dict[str, Told]:
    """Return what an event says of the hold that it begins: it has no row, so that none can be taken away."""
    return {"hold_until": None if hold is None else iso(hold.until)}


async def read_hold(transaction: Transaction, workspace_id: str, subject_id: str, now: datetime) -> Hold | None:
    """Return the hold on a person as this transaction finds it."""
    row = await transaction.fetch_one("read_hold", workspace_id, subject_id)
    return hold_of(workspace_id, subject_id, None if row is None else row[0], now)


async def reset(transaction: Transaction, wanted: FactorsReset, events: Sequence[AuditEvent], now: datetime) -> bool:
    """Take everything away that a person proves by, and end what they have open.

    The prompts come first, as where tokens are minted: whoever is about to mint one is waited for, and it is revoked.
    """
    person, request = (wanted.workspace_id, wanted.subject_id), wanted.request
    if not await _still_proved(transaction, wanted.proof):
        return False
    if request is not None and not await _take_request(transaction, request, now):
        return False
    end = ApprovalEnd(state=ApprovalState.CANCELLED, reason=EndReason.SIGNED_OUT, at=now)
    await approvals.end_all(transaction, *person, None, end)
    rows = await transaction.fetch_all("cancel_prompts_of_person", *person)
    await transaction.fetch_one("lock_person", *person)
    tokens = sorted(row[0] for row in rows if row[0] is not None)
    await transaction.execute_many("revoke_tokens", [(token, "reset") for token in tokens])
    named = {event.factor_id for event in events if event.name is EventName.FACTOR_REMOVED}
    removed = {factor.id for factor in await enrolled(transaction, *person)} | {*await missed(transaction, *person)}
    await transaction.execute("keep_last_steps", *person, None)
    await transaction.execute("remove_factors_of_person", *person)
    await transaction.execute("drop_enrolments_of_person", *person)
    await transaction.execute("clear_attempts_of_person", *person)
    await transaction.execute("drop_codes", *person)
    await spend_right(transaction, *person)
    await transaction.execute("drop_request", *person, None)
    await _take_back(transaction, *person, events[0], now)
    if wanted.new_pass is not None:
        await _put_pass(transaction, wanted.new_pass)
    for id_ in sorted(removed - named):  # of each factor the log has its end: it counts no more if it is put back
        told = {"person": wanted.subject_id, "untold": True}
        transaction.append(replace(events[0], name=EventName.FACTOR_REMOVED, factor_id=id_, outcome=None, data=told))
    for event in events:
        begun = _hold(wanted.hold) if event.name is EventName.FACTORS_RESET else {}
        transaction.append(_about(event, wanted.subject_id, new_pass=wanted.new_pass, begun=begun))
    return True


async def _take_request(transaction: Transaction, request: ResetRequest, now: datetime) -> bool:
    standing = await waiting(transaction, request.workspace_id, to_micros(now))
    return request in standing and bool(
        await transaction.execute("drop_request", request.workspace_id, request.subject_id, request.id)
    )


async def _take_back(
    transaction: Transaction, workspace_id: str, subject_id: str, reset_of: AuditEvent, now: datetime
) -> None:
    """Take back what the person did as an admin and nobody has used: whoever held their factors may have done it."""
    by = {name: value for name, value in reset_of.data.items() if name == "operator"}
    told = replace(reset_of, prompt_id="", outcome=None, data=by)
    for request in await waiting(transaction, workspace_id, to_micros(now)):
        if request.requested_by == subject_id:
            about_it = {"person_name": request.subject_name, "why": request.reason, "withdrawn": True}
            asked = replace(told, name=EventName.FACTORS_RESET_REQUESTED, data=by | about_it)
            await drop_request(transaction, request, asked)
    for (whose,) in await transaction.fetch_all("take_back_passes", workspace_id, subject_id):
        issued = replace(told, name=EventName.ENROLMENT_PASS_ISSUED)  # and none stands from then on (core/standing.py)
        transaction.append(about(issued, whose, withdrawn=True, untold=True))


async def note_person(transaction: Transaction, workspace_id: str, person: Person) -> None:
    """Remember name and login of a person."""
    await transaction.execute("note_person", *PEOPLE.sealed(transaction.macs, person_row(workspace_id, person)))


async def request_reset(
    transaction: Transaction, request: ResetRequest, event: AuditEvent, proof: Proof | None
) -> bool:
    """Keep a reset that another admin must confirm."""
    if not await _still_proved(transaction, proof):
        return False
    await transaction.execute("put_request", *REQUESTS.sealed(transaction.macs, request_row(request)))
    transaction.append(_about(event, request.subject_id, request=request.id))
    return True


async def drop_request(transaction: Transaction, request: ResetRequest, event: AuditEvent) -> bool:
    """Take a reset back that waits."""
    key = (request.workspace_id, request.subject_id, request.id)
    if not await transaction.execute("drop_request", *key):
        return False
    transaction.append(_about(event, request.subject_id, request=request.id, withdrawn=True))
    return True
