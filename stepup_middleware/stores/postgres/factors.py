"""Factors, enrolments and policies in the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.factors import EnrolledFactor, FactorKind, TOTPFactor, WebAuthnFactor, may_remove
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.base import Enrolment
from stepup_middleware.stores.rows import factor_row, policy_of

from .transaction import Transaction


async def policies_of(transaction: Transaction, workspaces: Sequence[str]) -> dict[str, StoredPolicy]:
    """Return the policies of workspaces that have one."""
    values: dict[str, dict[str, str]] = {}
    versions: dict[str, int] = {}
    for workspace, version, purpose, requirement in await transaction.rows("policies_of", workspaces):
        versions[workspace] = version
        if purpose is not None:
            values.setdefault(workspace, {})[purpose] = requirement
    return {name: StoredPolicy(version=version, values=values.get(name, {})) for name, version in versions.items()}


async def factors_of(
    transaction: Transaction, people: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], list[EnrolledFactor]]:
    """Return the factors of people that have any, oldest first."""
    factors: dict[tuple[str, str], list[EnrolledFactor]] = {}
    for workspace, subject, id_, kind in await transaction.many("factors_of", people):
        factors.setdefault((workspace, subject), []).append(EnrolledFactor(id_, FactorKind(kind)))
    return factors


async def set_policy(
    transaction: Transaction, workspace_id: str, changes: Sequence[tuple[str, str]], events: Sequence[AuditEvent]
) -> StoredPolicy:
    """Save requirements together under the next version; the last of several for one purpose stands."""
    await transaction.changed("advance_policy_version", workspace_id)
    last = dict(changes)
    await transaction.changed("set_requirements", workspace_id, list(last), list(last.values()))
    for event in events:
        transaction.append(event)
    return policy_of(await transaction.rows("read_policy", workspace_id))


async def user_handle(transaction: Transaction, workspace_id: str, subject_id: str, fresh: bytes) -> bytes:
    """Return the person's user handle, ``fresh`` if there was none."""
    found = await transaction.row("set_user_handle", workspace_id, subject_id, fresh)
    if found is None:
        raise StoreError("the user handle was not kept")
    handle: bytes = found[0]
    return handle


async def begin_enrolment(transaction: Transaction, enrolment: Enrolment) -> None:
    """Keep an enrolment in the place of an earlier one of the same session and kind."""
    await transaction.changed(
        "begin_enrolment",
        enrolment.workspace_id,
        enrolment.subject_id,
        enrolment.session,
        enrolment.kind.value,
        enrolment.id,
        to_micros(enrolment.expires_at),
        enrolment.challenge,
        enrolment.encrypted_secret,
    )


async def _enrolled(transaction: Transaction, workspace_id: str, subject_id: str) -> list[EnrolledFactor]:
    """Return the person's factors, after taking the turn to change them: nobody else does until the commit."""
    person = (workspace_id, subject_id)
    await transaction.row("lock_last_step", *person)
    return (await factors_of(transaction, [person])).get(person, [])


async def add_webauthn_factor(
    transaction: Transaction,
    workspace_id: str,
    subject_id: str,
    factor: WebAuthnFactor,
    event: AuditEvent,
    *,
    first: bool,
) -> bool:
    """Add a credential unless anybody has it (WebAuthn L3 §7.1: a credential id is registered once)."""
    if first and await _enrolled(transaction, workspace_id, subject_id):
        return False
    if await transaction.row("insert_factor", *factor_row(workspace_id, subject_id, factor)) is None:
        return False
    transaction.append(event)
    return True


async def add_totp_factor(
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
    person = (workspace_id, subject_id)
    if first and await _enrolled(transaction, *person):
        return False
    # one row of the person, locked: a step that is spent meanwhile, on any node, is seen
    spent = await transaction.row("lock_last_step", *person)
    if spent is not None and spent[0] >= factor.last_step:
        return False
    if not await transaction.changed("drop_enrolment", enrolment_id, *person):
        return False
    await transaction.changed("advance_step", *person, factor.last_step)
    await transaction.row("insert_factor", *factor_row(workspace_id, subject_id, factor))
    await transaction.many("clear_attempts", [(*person, FactorKind.TOTP.value)])
    transaction.append(event)
    return True


async def remove_factor(
    transaction: Transaction, workspace_id: str, subject_id: str, factor_id: str, event: AuditEvent, *, only_spare: bool
) -> bool:
    """Remove a factor. Its tokens end with it: redemption asks whether the factor is still there (T31)."""
    if only_spare and not may_remove(await _enrolled(transaction, workspace_id, subject_id), factor_id):
        return False
    if not await transaction.changed("remove_factor", factor_id, workspace_id, subject_id):
        return False
    transaction.append(event)
    return True


async def reencrypt(transaction: Transaction, limit: int, after: str, rewrite: Callable[[bytes], bytes]) -> str | None:
    """Rewrite the secrets of up to ``limit`` factors in the order of their ids."""
    found = await transaction.rows("secrets_after", after, limit)
    await transaction.many("set_secrets", [(id_, rewrite(secret)) for id_, secret in found])
    return found[-1][0] if found and len(found) == limit else None
