"""Rows of the tables and the values of the contract, each made from the other.

The tables of all SQL stores have the same columns in the same order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from stepup_middleware.core.audit import EventCounts, read_record
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.binding import details_digest
from stepup_middleware.core.decisions import Presentation, TokenRow, TokenState
from stepup_middleware.core.events import AuditEvent, EventName, Outcome
from stepup_middleware.core.factors import (
    Enrolment,
    EnrolmentBasis,
    Factor,
    FactorKind,
    FactorRequirement,
    TOTPFactor,
    WebAuthnFactor,
)
from stepup_middleware.core.grants import TokenGrant
from stepup_middleware.core.moments import from_micros, span_micros, to_micros
from stepup_middleware.core.prompts import PromptState, StoredPrompt, prompt_from
from stepup_middleware.core.replays import Replays
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.log.integrator import Fault

Row = Sequence[Any]

_STATES = {state.value: state for state in TokenState}
_REQUIREMENTS = {requirement.value: requirement for requirement in FactorRequirement}
_KINDS = {kind.value: kind for kind in FactorKind}
_HOUR = span_micros(timedelta(hours=1))
MAX_ID = 2**63 - 1  # of a row
_NO_EVENT = AuditEvent(
    at=datetime.fromtimestamp(0, UTC),
    name=EventName.DATABASE_ALTERED,
    workspace_id="",
    subject_id="",
    reason=Fault.RECORD_ENTRY.name.lower(),
    data={"what": "the text of this record is no event: somebody else has written it"},
).body()


def token_of(row: Row) -> TokenRow:
    """Return the token of a row of ``read_token``."""
    return TokenRow(
        reference=TokenReference(row[0], row[1]),
        state=_STATES[row[2]],
        prompt_id=row[3],
        workspace_id=row[4],
        subject_id=row[5],
        session=row[6],
        ip=row[7],
        purpose=row[8],
        requirement=_REQUIREMENTS[row[9]],
        policy_version=row[10],
        request_digest=row[11],
        details_digest=row[12],
        factor_id=row[13],
        factor_kind=_KINDS[row[14]],
        issued_at=from_micros(row[15]),
        expires_at=from_micros(row[16]),
        attempt=row[17],
        redeemed_at=None if row[18] is None else from_micros(row[18]),
        redeemed_ip=row[19],
        redeemed_user_agent=row[20],
        replays=Replays(row[21], row[22]),
    )


class Facts(NamedTuple):
    """What a redeemed row knows and the presentation that redeemed it does not."""

    prompt: str
    factor: str
    factor_kind: str
    requirement: str
    policy_version: int
    issued_at: int
    expires_at: int


def redeemed_token(shown: Presentation, facts: Row) -> TokenRow:
    """Return the token that a presentation redeemed, by the ``Facts`` of its row.

    The fields that the statement compared are those of the presentation.
    """
    prompt, factor, factor_kind, requirement, policy_version, issued_at, expires_at = facts
    return TokenRow(
        reference=shown.reference,
        state=TokenState.REDEEMED,
        prompt_id=prompt,
        workspace_id=shown.workspace_id,
        subject_id=shown.subject_id,
        session=shown.session,
        ip=shown.ip,
        purpose=shown.purpose,
        requirement=_REQUIREMENTS[requirement],
        policy_version=policy_version,
        request_digest=shown.request_digest,
        details_digest=shown.details_digest,
        factor_id=factor,
        factor_kind=_KINDS[factor_kind],
        issued_at=from_micros(issued_at),
        expires_at=from_micros(expires_at),
        attempt=shown.attempt,
        redeemed_at=shown.now,
        redeemed_ip=shown.ip,
        redeemed_user_agent=shown.user_agent,
    )


def facts_of(token: TokenRow) -> Facts:
    """Return the facts of a token that is kept elsewhere."""
    return Facts(
        token.prompt_id,
        token.factor_id,
        token.factor_kind.value,
        token.requirement.value,
        token.policy_version,
        to_micros(token.issued_at),
        to_micros(token.expires_at),
    )


def grant_row(grant: TokenGrant) -> tuple[Any, ...]:
    """Return the row of the token that a grant brings, but for its epoch."""
    prompt = grant.prompt
    return (
        grant.nonce,
        prompt.id,
        prompt.workspace_id,
        prompt.subject_id,
        prompt.session,
        prompt.ip,
        prompt.purpose,
        prompt.requirement.value,
        prompt.policy_version,
        prompt.request.digest(),
        details_digest(prompt.details),
        grant.factor_id,
        grant.factor_kind.value,
        to_micros(grant.issued_at),
        to_micros(grant.expires_at),
    )


def prompt_of(row: Row) -> StoredPrompt:
    """Return the prompt of a row of ``get_prompt``, its MAC last."""
    *place, text, _ = row
    return stored_prompt(json.loads(text), *place)


def stored_prompt(
    body: dict[str, Any],
    id_: str,
    workspace_id: str,
    subject_id: str,
    session: str,
    state: str,
    created_at: int,
    expires_at: int,
) -> StoredPrompt:
    """Return the prompt of its ``Prompt.kept`` and what is kept beside that; times are in microseconds."""
    prompt = prompt_from(
        body,
        id=id_,
        workspace_id=workspace_id,
        subject_id=subject_id,
        session=session,
        created_at=from_micros(created_at),
        expires_at=from_micros(expires_at),
    )
    return StoredPrompt(prompt=prompt, state=PromptState(state))


def factor_row(workspace_id: str, subject_id: str, factor: Factor) -> tuple[Any, ...]:
    """Return the row of a new factor."""
    used_at = None if factor.last_used_at is None else to_micros(factor.last_used_at)
    head = (
        factor.id,
        workspace_id,
        subject_id,
        factor.kind.value,
        factor.name,
        to_micros(factor.created_at),
        used_at,
    )
    if isinstance(factor, TOTPFactor):
        return (*head, *[None] * 9, factor.encrypted_secret)
    return (
        *head,
        factor.credential_id,
        factor.public_key,
        factor.algorithm,
        factor.sign_count,
        factor.backup_eligible,
        factor.backed_up,
        json.dumps(factor.transports),
        factor.aaguid,
        factor.user_handle,
        None,
    )


def factor_of(row: Row) -> Factor:
    """Return the factor of a row of ``list_factors``."""
    id_, kind, name, created_at, last_used_at = row[:5]
    used_at = None if last_used_at is None else from_micros(last_used_at)
    if kind == FactorKind.TOTP:
        return TOTPFactor(
            id=id_,
            name=name,
            created_at=from_micros(created_at),
            last_used_at=used_at,
            encrypted_secret=row[14],
            last_step=row[15],
        )
    return WebAuthnFactor(
        id=id_,
        kind=FactorKind(kind),
        name=name,
        created_at=from_micros(created_at),
        last_used_at=used_at,
        credential_id=row[5],
        public_key=row[6],
        algorithm=row[7],
        sign_count=row[8],
        backup_eligible=None if row[9] is None else bool(row[9]),  # SQLite has 0 and 1
        backed_up=None if row[10] is None else bool(row[10]),
        transports=tuple(json.loads(row[11])),
        aaguid=row[12],
        user_handle=row[13],
    )


def enrolment_row(enrolment: Enrolment) -> tuple[Any, ...]:
    """Return the row of an enrolment."""
    return (
        enrolment.workspace_id,
        enrolment.subject_id,
        enrolment.session,
        enrolment.kind.value,
        enrolment.id,
        enrolment.basis.value,
        enrolment.ip,
        to_micros(enrolment.begun_at),
        to_micros(enrolment.expires_at),
        enrolment.challenge,
        enrolment.encrypted_secret,
    )


def enrolment_of(row: Row) -> Enrolment:
    """Return the enrolment of a row, its MAC last."""
    workspace_id, subject_id, session, kind, id_, basis, ip, begun_at, expires_at, challenge, secret, _ = row
    return Enrolment(
        id=id_,
        workspace_id=workspace_id,
        subject_id=subject_id,
        session=session,
        kind=FactorKind(kind),
        basis=EnrolmentBasis(basis),
        ip=ip,
        begun_at=from_micros(begun_at),
        expires_at=from_micros(expires_at),
        challenge=challenge,
        encrypted_secret=secret,
    )


def record_of(row: Row) -> AuditRecord:
    """Return the audit record of a row, with the tree and the index of its leaf.

    Only somebody else can have written a text that is no event: it stands there as what it is, a ``DATABASE_ALTERED``
    of no time, and keeps nobody from the records beside it.
    """
    seq, body, id_, entry, mac, refused, log, index = row
    read = partial(read_record, seq=seq, id_=id_, entry=entry, mac=mac, refused=refused, log=log, index=index)
    try:
        body.encode()  # SQLite has bytes that are no text
        return read(body)
    except ValueError:
        return read(_NO_EVENT)


def counts_of(rows: Iterable[Row], last_seq: int) -> EventCounts:
    """Return the counts of rows of ``count_events``: hour since 1970, event, outcome, number. Rows alike are added."""
    by_hour = Counter[tuple[datetime, EventName, Outcome]]()
    for hour, event, outcome, number in rows:
        by_hour[from_micros(hour * _HOUR), EventName(event), Outcome(outcome)] += number
    return EventCounts(by_hour=by_hour, last_seq=last_seq)
