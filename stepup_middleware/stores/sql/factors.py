"""Factors, enrolments and time-steps in the database."""

from __future__ import annotations

from datetime import datetime

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.factors import EnrolledFactor, Enrolment, FactorKind, TOTPFactor, WebAuthnFactor, may_remove
from stepup_middleware.core.moments import to_micros
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.rows import Row, enrolment_of, enrolment_row, factor_row
from stepup_middleware.stores.sealing import (
    ENROLMENTS,
    HANDLES,
    Rewrite,
    Tampered,
    factor_holds,
    rewritten_factor,
    sealed_factor,
)

from .enrolled import enrolled
from .recovery import may_add, spend_right
from .resealing import FIRST, reseal
from .transaction import Transaction, Value


async def user_handle(transaction: Transaction, workspace_id: str, subject_id: str, fresh: bytes) -> bytes:
    """Return the person's user handle, ``fresh`` if there was none that counts."""
    found = await transaction.fetch_one("lock_user_handle", workspace_id, subject_id)
    if found is None:
        raise StoreError("the user handle was not kept")
    if found[2] is not None:
        if HANDLES.holds(transaction.macs, found):
            handle: bytes = found[2]
            return handle
        transaction.tampered.append(Tampered("people", subject_id, workspace_id, subject_id))
    await transaction.execute("set_user_handle", *HANDLES.sealed(transaction.macs, (workspace_id, subject_id, fresh)))
    return fresh


async def begin_enrolment(transaction: Transaction, enrolment: Enrolment) -> None:
    """Keep an enrolment in the place of an earlier one of the same session and kind."""
    await transaction.execute("begin_enrolment", *ENROLMENTS.sealed(transaction.macs, enrolment_row(enrolment)))


def enrolment_key(
    workspace_id: str, subject_id: str, session: str, kind: FactorKind, id_: str | None, now: datetime
) -> tuple[Value, ...]:
    """Return the parameters of ``read_enrolment`` and ``pop_enrolment``."""
    return workspace_id, subject_id, session, kind.value, to_micros(now), id_


async def pop_enrolment(
    transaction: Transaction,
    workspace_id: str,
    subject_id: str,
    session: str,
    kind: FactorKind,
    id_: str | None,
    now: datetime,
) -> Enrolment | None:
    """Take a pending enrolment."""
    key = enrolment_key(workspace_id, subject_id, session, kind, id_, now)
    found = await transaction.fetch_one("pop_enrolment", *key)
    if found is None:
        return None
    if not ENROLMENTS.holds(transaction.macs, found):
        transaction.tampered.append(tampered_enrolment(found))
        return None
    return enrolment_of(found)


def tampered_enrolment(row: Row) -> Tampered:
    """Return what is told of a pending enrolment that does not count."""
    return Tampered("enrolments", str(row[4]), str(row[0]), str(row[1]))


async def _locked_factors(transaction: Transaction, workspace_id: str, subject_id: str) -> list[EnrolledFactor]:
    """Return the person's factors after locking the row of the person: nobody else changes them until the commit."""
    await transaction.fetch_one("lock_person", workspace_id, subject_id)
    return await enrolled(transaction, workspace_id, subject_id)


async def add_webauthn_factor(
    transaction: Transaction,
    workspace_id: str,
    subject_id: str,
    factor: WebAuthnFactor,
    event: AuditEvent,
    begun: Enrolment | None,
) -> bool:
    """Add a credential unless anybody has it (WebAuthn L3 §7.1: a credential id is registered once)."""
    if begun is not None and not await may_add(transaction, begun, event.at):
        return False
    row = sealed_factor(transaction.macs, factor_row(workspace_id, subject_id, factor))
    if await transaction.fetch_one("insert_factor", *row, 0) is None:
        return False
    await spend_right(transaction, workspace_id, subject_id)
    transaction.append(event)
    return True


async def add_totp_factor(
    transaction: Transaction,
    workspace_id: str,
    subject_id: str,
    factor: TOTPFactor,
    begun: Enrolment,
    event: AuditEvent,
) -> bool:
    """Add a confirmed secret for its enrolment, and spend the time-step that confirmed it."""
    person = (workspace_id, subject_id)
    if not await may_add(transaction, begun, event.at):
        return False
    # one row of the person, locked: a step that is spent meanwhile, on any node, is seen
    spent = await transaction.fetch_one("lock_person", *person)
    if spent is not None and spent[0] >= factor.last_step:
        return False
    if not await transaction.execute("drop_enrolment", begun.id, *person):
        return False
    row = sealed_factor(transaction.macs, factor_row(workspace_id, subject_id, factor))
    await transaction.fetch_one("insert_factor", *row, factor.last_step)
    await transaction.execute_many("clear_attempts", [(*person, FactorKind.TOTP.value)])
    await spend_right(transaction, *person)
    transaction.append(event)
    return True


async def advance_time_step(transaction: Transaction, workspace_id: str, subject_id: str, step: int) -> bool:
    """Spend a time-step that the app's own sign-in accepted, unless it or a later one was spent, there or here."""
    await transaction.fetch_one("lock_person", workspace_id, subject_id)
    return await transaction.execute("advance_step", workspace_id, subject_id, step) == 1


async def remove_factor(
    transaction: Transaction, workspace_id: str, subject_id: str, factor_id: str, event: AuditEvent, *, only_spare: bool
) -> bool:
    """Remove a factor. Its tokens end with it: redemption asks whether the factor is still there (T31)."""
    if only_spare and not may_remove(await _locked_factors(transaction, workspace_id, subject_id), factor_id):
        return False
    await transaction.fetch_one("lock_person", workspace_id, subject_id)
    await transaction.execute("keep_last_steps", workspace_id, subject_id, factor_id)
    if not await transaction.execute("remove_factor", factor_id, workspace_id, subject_id):
        return False
    transaction.append(event)
    return True


async def reencrypt(transaction: Transaction, limit: int, after: str, rewrite: Rewrite) -> str | None:
    """Rewrite the secrets and MACs of up to ``limit`` factors in the order of their ids, then MACs of the other rows.

    A forged row stays as it is.
    """
    if after.startswith("{"):
        return await reseal(transaction, limit, after)
    found = await transaction.fetch_all("factors_after", after, limit)
    macs = transaction.macs
    rows = [rewritten_factor(macs, row, rewrite) for row in found if factor_holds(macs, row)]
    await transaction.execute_many("set_secrets", rows)
    if found and len(found) == limit:
        last: str = found[-1][0]
        return last
    return await reseal(transaction, max(1, limit - len(found)), FIRST)
