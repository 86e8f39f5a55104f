"""Approvals in the database.

Each verb that changes one notes the change first: until the commit nobody else changes any. So people decide one after
another, which they do rarely enough, and the numbers of changes grow with the commits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from stepup_middleware.core.approvals import (
    ASKED_WITHIN,
    Approval,
    ApprovalEnd,
    ApprovalRefused,
    ApprovalState,
    Decider,
    ended,
    proved,
    refuse_approval,
    with_digits,
)
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.grants import TokenGrant
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.subject import in_session
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.approval_rows import APPROVALS, approval_of, approval_row
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sealing import Tampered

from .transaction import Transaction

_CHANGES = slice(APPROVALS.columns.index("state"), None)  # what becomes of an approval


def tampered_approval(row: Row) -> Tampered:
    """Return what is told of a row that does not count."""
    return Tampered(APPROVALS.table, str(row[0]), str(row[1]), str(row[2]))


async def ask(transaction: Transaction, new: Approval, event: AuditEvent, now: datetime) -> ApprovalRefused | None:
    """Keep a new approval unless the person has enough of them."""
    await transaction.execute("note_approval_change")
    person = (new.prompt.workspace_id, new.prompt.subject_id)
    waiting = await waiting_of(transaction, *person, now)
    counted = await transaction.fetch_one("count_approvals", *person, to_micros(now - ASKED_WITHIN))
    recent = 0 if counted is None else int(counted[0])
    refused = refuse_approval(new, [(each.prompt.session, each.prompt.purpose) for each in waiting], recent)
    if refused is None:
        await transaction.execute("insert_approval", *APPROVALS.sealed(transaction.macs, approval_row(new)))
        transaction.append(event)
    return refused


async def waiting_of(transaction: Transaction, workspace_id: str, subject_id: str, now: datetime) -> list[Approval]:
    """Return the approvals of a person that wait."""
    rows = await transaction.fetch_all("waiting_approvals", workspace_id, subject_id, to_micros(now))
    return [approval for row in rows if (approval := _counted(transaction, row)) is not None]


def _counted(transaction: Transaction, row: Row | None) -> Approval | None:
    if row is None:
        return None
    if not APPROVALS.holds(transaction.macs, row):
        transaction.tampered.append(tampered_approval(row))
        return None
    return approval_of(row)


async def _read(transaction: Transaction, prompt_id: str) -> Approval | None:
    return _counted(transaction, await transaction.fetch_one("get_approval", prompt_id))


async def _write(transaction: Transaction, approval: Approval) -> None:
    row = APPROVALS.sealed(transaction.macs, approval_row(approval))
    await transaction.execute("update_approval", row[0], *row[_CHANGES])


async def match(
    transaction: Transaction,
    prompt_id: str,
    digits: str,
    decider: Decider,
    wrong: AuditEvent,
    denied: AuditEvent,
    now: datetime,
) -> Approval | None:
    """Compare the digits that somebody typed, and keep what becomes of the approval."""
    await transaction.execute("note_approval_change")
    before = await _read(transaction, prompt_id)
    after = None if before is None else with_digits(before, digits, decider, now)
    if before is None or after is None:
        return None
    await _write(transaction, after)
    if after.state is ApprovalState.DENIED:
        transaction.append(denied)
    elif after.tries > before.tries:
        transaction.append(wrong)
    return after


async def end(transaction: Transaction, prompt_id: str, ending: ApprovalEnd, event: AuditEvent | None) -> bool:
    """Deny or cancel an approval that waits."""
    await transaction.execute("note_approval_change")
    approval = await _read(transaction, prompt_id)
    if approval is None or not approval.waits(ending.at):
        return False
    await _write(transaction, ended(approval, ending))
    if event is not None:
        transaction.append(event)
    return True


async def end_all(
    transaction: Transaction, workspace_id: str, subject_id: str, session: str | None, ending: ApprovalEnd
) -> None:
    """Cancel what a session of a person asked for (None: all of theirs) and nobody has decided."""
    for approval in await waiting_of(transaction, workspace_id, subject_id, ending.at):
        if session is None or in_session(approval.prompt.session, session):
            await end(transaction, approval.prompt.id, ending, None)


async def hold_all(transaction: Transaction, grants: Sequence[TokenGrant]) -> dict[str, Approval]:
    """Return the approvals of the prompts of these grants, by prompt, held until the commit."""
    ids = sorted((grant.prompt.id,) for grant in grants)
    asked = sorted(row[0] for row in await transaction.fetch_many("prompts_with_approvals", ids))
    if asked:
        await transaction.execute("note_approval_change")
    read = [(prompt_id, await _read(transaction, prompt_id)) for prompt_id in asked]
    return {prompt_id: approval for prompt_id, approval in read if approval is not None}


async def prove_all(
    transaction: Transaction, held: Mapping[str, Approval], granted: Sequence[tuple[TokenGrant, TokenReference]]
) -> None:
    """Keep what becomes of these approvals by the proof of their prompts, and the token that each brought."""
    for grant, token in sorted(granted, key=lambda pair: pair[0].prompt.id):
        if (approval := held.get(grant.prompt.id)) is not None:
            await transaction.execute("note_approval_change")
            await _write(transaction, proved(approval, grant.decider, token, grant.issued_at))
