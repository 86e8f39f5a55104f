"""Factors, enrolments and time-steps in the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.factors import EnrolledFactor, FactorKind, TOTPFactor, WebAuthnFactor, may_remove
from stepup_middleware.core.moments import to_micros
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.base import Enrolment
from stepup_middleware.stores.rows import enrolment_of, factor_row

from .transaction import Transaction


def user_handle(transaction: Transaction, workspace_id: str, subject_id: str, fresh: bytes) -> bytes:
    """Return the person's user handle, ``fresh`` if there was none."""
    transaction.run("set_user_handle", (workspace_id, subject_id, fresh))
    found = transaction.row("read_user_handle", (workspace_id, subject_id))
    if found is None:
        raise StoreError("the user handle was not kept")
    handle: bytes = found[0]
    return handle


def begin_enrolment(transaction: Transaction, enrolment: Enrolment) -> None:
    """Keep an enrolment in the place of an earlier one of the same session and kind."""
    transaction.run(
        "begin_enrolment",
        (
            enrolment.workspace_id,
            enrolment.subject_id,
            enrolment.session,
            enrolment.kind.value,
            enrolment.id,
            to_micros(enrolment.expires_at),
            enrolment.challenge,
            enrolment.encrypted_secret,
        ),
    )


def enrolment_key(
    workspace_id: str, subject_id: str, session: str, kind: FactorKind, id_: str | None, now: datetime
) -> dict[str, object]:
    """Return the parameters of ``read_enrolment``."""
    return {
        "workspace": workspace_id,
        "subject": subject_id,
        "session": session,
        "kind": kind.value,
        "id": id_,
        "now": to_micros(now),
    }


def pop_enrolment(
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
    found = transaction.row("read_enrolment", key)
    if found is None:
        return None
    transaction.run("drop_enrolment", (found[0], workspace_id, subject_id))
    return enrolment_of(workspace_id, subject_id, session, kind, found)


def enrolled(transaction: Transaction, workspace_id: str, subject_id: str) -> list[EnrolledFactor]:
    """Return the person's factors as this transaction finds them."""
    rows = transaction.rows("factor_kinds", (workspace_id, subject_id))
    return [EnrolledFactor(id_, FactorKind(kind)) for id_, kind in rows]


def add_webauthn_factor(
    transaction: Transaction,
    workspace_id: str,
    subject_id: str,
    factor: WebAuthnFactor,
    event: AuditEvent,
    *,
    first: bool,
) -> bool:
    """Add a credential unless anybody has it (WebAuthn L3 §7.1: a credential id is registered once)."""
    if first and enrolled(transaction, workspace_id, subject_id):
        return False
    if transaction.row("credential_is_known", (factor.credential_id,)) is not None:
        return False
    transaction.run("insert_factor", factor_row(workspace_id, subject_id, factor))
    transaction.append(event)
    return True


def add_totp_factor(
    transaction: Transaction,
    workspace_id: str,
    subject_id: str,
    factor: TOTPFactor,
    enrolment_id: str,
    event: AuditEvent,
    *,
    first: bool,
) -> bool:
    """Add a confirmed secret for its enrolment, and spend the time-step that confirmed it."""
    if first and enrolled(transaction, workspace_id, subject_id):
        return False
    spent = transaction.row("read_last_step", (workspace_id, subject_id))
    if spent is not None and spent[0] >= factor.last_step:
        return False
    if not transaction.changed("drop_enrolment", (enrolment_id, workspace_id, subject_id)):
        return False
    transaction.run("advance_step", (workspace_id, subject_id, factor.last_step))
    transaction.run("insert_factor", factor_row(workspace_id, subject_id, factor))
    transaction.run("clear_attempts", (workspace_id, subject_id, FactorKind.TOTP.value))
    transaction.append(event)
    return True


def remove_factor(
    transaction: Transaction, workspace_id: str, subject_id: str, factor_id: str, event: AuditEvent, *, only_spare: bool
) -> bool:
    """Remove a factor. Its tokens end with it: redemption asks whether the factor is still there (T31)."""
    if only_spare and not may_remove(enrolled(transaction, workspace_id, subject_id), factor_id):
        return False
    if not transaction.changed("remove_factor", (factor_id, workspace_id, subject_id)):
        return False
    transaction.append(event)
    return True


def reencrypt(transaction: Transaction, limit: int, after: str, rewrite: Callable[[bytes], bytes]) -> str | None:
    """Rewrite the secrets of up to ``limit`` factors in the order of their ids."""
    found = transaction.rows("secrets_after", (after, limit))
    transaction.run_many("set_secret", [(rewrite(secret), id_) for id_, secret in found])
    return found[-1][0] if found and len(found) == limit else None
