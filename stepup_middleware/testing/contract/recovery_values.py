"""Passes, rights, codes, holds and resets for the contract's tests."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import Enrolment, EnrolmentBasis, Factor, FactorKind, FactorRequirement
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.recovery import (
    EnrolmentPass,
    EnrolmentRight,
    FactorsReset,
    Hold,
    RecoveryCodes,
    ResetRequest,
)
from stepup_middleware.core.subject import Subject
from stepup_middleware.stores.base import HotState

from .values import (
    COSIGNER,
    IP,
    MINUTE,
    NOW,
    OWNER,
    TRANSMIT,
    enrolment,
    event,
)

ANALYST = Subject(id="u-analyst", session_id="s-analyst", workspace_id="w-1", name="analyst@axis.example")
ME = (OWNER.workspace_id, OWNER.id)
DIGEST = bytes(range(32))
ISSUED = event(EventName.ENROLMENT_PASS_ISSUED)
TAKEN = event(EventName.ENROLMENT_PASS_USED)
USED = event(EventName.RECOVERY_CODE_USED)
RESET = event(EventName.FACTORS_RESET)
HOUR = timedelta(hours=1)
STRONG = replace(TRANSMIT, minimum=FactorRequirement.PHISHING_RESISTANT)


def a_pass(subject: Subject = OWNER, **fields: Any) -> EnrolmentPass:
    """Return a pass of an hour."""
    values: dict[str, Any] = {
        "id": secrets.token_hex(8),
        "workspace_id": subject.workspace_id,
        "subject_id": subject.id,
        "digest": DIGEST,
        "issued_at": NOW,
        "issued_by": COSIGNER.id,
        "expires_at": NOW + HOUR,
    }
    return EnrolmentPass(**{**values, **fields})


def a_right(subject: Subject = OWNER, basis: EnrolmentBasis = EnrolmentBasis.PASS, **fields: Any) -> EnrolmentRight:
    """Return the right of a person's session."""
    values: dict[str, Any] = {
        "workspace_id": subject.workspace_id,
        "subject_id": subject.id,
        "session": subject.session,
        "ip": IP,
        "basis": basis,
        "expires_at": NOW + 10 * MINUTE,
    }
    return EnrolmentRight(**{**values, **fields})


def codes_for(subject: Subject = OWNER, **fields: Any) -> RecoveryCodes:
    """Return a set of ten codes."""
    values: dict[str, Any] = {
        "id": secrets.token_hex(8),
        "workspace_id": subject.workspace_id,
        "subject_id": subject.id,
        "made_at": NOW,
        "salt": secrets.token_bytes(16),
        "hashes": tuple(secrets.token_bytes(32) for _ in range(10)),
    }
    return RecoveryCodes(**{**values, **fields})


def a_hold(subject: Subject = OWNER, until: timedelta = 24 * HOUR) -> Hold:
    """Return a hold that ends some time after now."""
    return Hold(workspace_id=subject.workspace_id, subject_id=subject.id, until=NOW + until)


def a_reset(subject: Subject = OWNER, **fields: Any) -> FactorsReset:
    """Return a reset with a hold of a day."""
    values: dict[str, Any] = {
        "workspace_id": subject.workspace_id,
        "subject_id": subject.id,
        "hold": a_hold(subject),
    }
    return FactorsReset(**{**values, **fields})


def a_request(subject: Subject = OWNER, **fields: Any) -> ResetRequest:
    """Return a reset that waits for another admin for a day."""
    values: dict[str, Any] = {
        "id": secrets.token_hex(8),
        "workspace_id": subject.workspace_id,
        "subject_id": subject.id,
        "subject_name": "Ada",
        "reason": "lost phone",
        "requested_by": COSIGNER.id,
        "requested_by_name": "Bob",
        "requested_at": NOW,
        "expires_at": NOW + 24 * HOUR,
        "with_pass": True,
    }
    return ResetRequest(**{**values, **fields})


def proof_by(admin: Subject, factor: Factor) -> Proof:
    """Return the proof that an admin has just given by a factor."""
    return Proof(
        prompt_id="p-1",
        purpose="factors_reset",
        workspace_id=admin.workspace_id,
        subject_id=admin.id,
        factor_id=factor.id,
        factor_kind=factor.kind,
        requirement=FactorRequirement.PHISHING_RESISTANT,
        policy_version=0,
        details=(),
        actor="",
        client="",
        authorized_at=NOW,
    )


def begun_by(basis: EnrolmentBasis, **fields: Any) -> Enrolment:
    """Return an enrolment of a passkey that began now."""
    return enrolment(**{"kind": FactorKind.PASSKEY, "basis": basis, "challenge": bytes(32), **fields})


async def put(store: HotState, codes: RecoveryCodes) -> RecoveryCodes:
    """Keep a set of codes that must be kept."""
    assert await store.records.put_recovery_codes(codes, event=event(EventName.RECOVERY_CODES_ISSUED))
    return codes
