"""Rows of the tables and the values of the contract, each made from the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from stepup_middleware.core.binding import RequestLine, details_digest
from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.chain import read_record
from stepup_middleware.core.decisions import IssuedToken, Presentation, TokenState
from stepup_middleware.core.events import AuditRecord
from stepup_middleware.core.factors import Factor, FactorKind, FactorRequirement, TOTPFactor, WebAuthnFactor
from stepup_middleware.core.moments import from_micros, span_micros, to_micros
from stepup_middleware.core.prompts import Prompt, PromptState, StoredPrompt
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.base import ChainStart, Enrolment, SignedHead, TokenGrant

Row = Sequence[Any]


def storable(*texts: str | None) -> bool:
    """Whether PostgreSQL can hold the texts: it has no NUL, and UTF-8 no lone surrogates. What it cannot hold
    is in no row, so who looks for it finds nothing."""
    try:
        return not any(text is not None and b"\0" in text.encode() for text in texts)
    except UnicodeEncodeError:
        return False


def shown_row(shown: Presentation) -> tuple[Any, ...] | None:
    """Return a presentation in the order of the parameters of ``redeem``, None when it can match no row."""
    if not storable(shown.workspace_id + shown.subject_id + shown.session + shown.ip + shown.purpose):
        return None
    return (
        shown.reference.id,
        shown.reference.nonce,
        shown.attempt,
        shown.workspace_id,
        shown.subject_id,
        shown.session,
        shown.ip,
        shown.user_agent.replace("\0", "\ufffd"),
        shown.purpose,
        span_micros(shown.ttl),
        shown.minimum.strength,
        shown.request_digest,
        shown.details_digest,
        to_micros(shown.now),
    )


def redeemed_token(shown: Presentation, row: Row) -> IssuedToken:
    """Return the token that a presentation redeemed, from a row of ``redeem``.

    What the guard compared is taken from the presentation: it is the same.
    """
    return IssuedToken(
        reference=shown.reference,
        state=TokenState.REDEEMED,
        prompt_id=row[2],
        workspace_id=shown.workspace_id,
        subject_id=shown.subject_id,
        session=shown.session,
        ip=shown.ip,
        purpose=shown.purpose,
        requirement=FactorRequirement(row[3]),
        policy_version=row[4],
        request_digest=shown.request_digest,
        details_digest=shown.details_digest,
        factor_id=row[5],
        factor_kind=FactorKind(row[6]),
        issued_at=from_micros(row[7]),
        expires_at=from_micros(row[8]),
        attempt=row[1],
        redeemed_at=shown.now,
        redeemed_ip=shown.ip,
        redeemed_user_agent=shown.user_agent,
        replays=row[9],
    )


def token_of(row: Row) -> IssuedToken:
    """Return the token of a row of ``read_tokens``."""
    return IssuedToken(
        reference=TokenReference(row[0], row[1]),
        state=TokenState(row[2]),
        prompt_id=row[3],
        workspace_id=row[4],
        subject_id=row[5],
        session=row[6],
        ip=row[7],
        purpose=row[8],
        requirement=FactorRequirement(row[9]),
        policy_version=row[10],
        request_digest=row[11],
        details_digest=row[12],
        factor_id=row[13],
        factor_kind=FactorKind(row[14]),
        issued_at=from_micros(row[15]),
        expires_at=from_micros(row[16]),
        attempt=row[17],
        redeemed_at=None if row[18] is None else from_micros(row[18]),
        redeemed_ip=row[19],
        redeemed_user_agent=row[20],
        replays=row[21],
    )


def grant_row(grant: TokenGrant) -> tuple[Any, ...]:
    """Return the token that a grant brings, in the order of the parameters of ``insert_tokens``."""
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


def prompt_row(prompt: Prompt) -> tuple[Any, ...]:
    """Return a new prompt in the order of the parameters of ``insert_prompts``."""
    body = {
        "subject_name": prompt.subject_name,
        "ip": prompt.ip,
        "user_agent": prompt.user_agent,
        "purpose": prompt.purpose,
        "requirement": prompt.requirement,
        "policy_version": prompt.policy_version,
        "factor_ids": list(prompt.factor_ids),
        "factor_kinds": list(prompt.factor_kinds),
        "request": prompt.request.as_dict(),
        "details": [list(pair) for pair in prompt.details],
        "locale": prompt.locale,
    }
    return (
        prompt.id,
        prompt.workspace_id,
        prompt.subject_id,
        prompt.session,
        to_micros(prompt.created_at),
        to_micros(prompt.expires_at),
        canonical_json(body),
    )


def prompt_of(row: Row) -> StoredPrompt:
    """Return the prompt of a row of ``get_prompt``."""
    id_, workspace, subject, session, state, created_at, expires_at, text = row
    body = json.loads(text)
    request = body["request"]
    prompt = Prompt(
        id=id_,
        workspace_id=workspace,
        subject_id=subject,
        subject_name=body["subject_name"],
        session=session,
        ip=body["ip"],
        user_agent=body["user_agent"],
        purpose=body["purpose"],
        requirement=FactorRequirement(body["requirement"]),
        policy_version=body["policy_version"],
        factor_ids=tuple(body["factor_ids"]),
        factor_kinds=tuple(FactorKind(kind) for kind in body["factor_kinds"]),
        request=RequestLine(
            method=request["method"],
            path=request["path"],
            query=request["query"],
            body_digest=request["body_sha256"],
        ),
        details=tuple((label, text) for label, text in body["details"]),
        locale=body["locale"],
        created_at=from_micros(created_at),
        expires_at=from_micros(expires_at),
    )
    return StoredPrompt(prompt=prompt, state=PromptState(state))


def factor_row(workspace_id: str, subject_id: str, factor: Factor) -> tuple[Any, ...]:
    """Return a new factor in the order of the parameters of ``insert_factor``."""
    used_at = None if factor.last_used_at is None else to_micros(factor.last_used_at)
    head = (factor.id, workspace_id, subject_id, factor.kind.value, factor.name, to_micros(factor.created_at), used_at)
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
        factor.transports,
        factor.aaguid,
        factor.user_handle,
        None,
    )


def factor_of(row: Row) -> Factor:
    """Return the factor of a row of ``list_factors``."""
    id_, kind, name, created_at, last_used_at, *rest = row
    used_at = None if last_used_at is None else from_micros(last_used_at)
    if kind == FactorKind.TOTP:
        return TOTPFactor(
            id=id_,
            name=name,
            created_at=from_micros(created_at),
            last_used_at=used_at,
            encrypted_secret=rest[9],
            last_step=rest[10],
        )
    return WebAuthnFactor(
        id=id_,
        kind=FactorKind(kind),
        name=name,
        created_at=from_micros(created_at),
        last_used_at=used_at,
        credential_id=rest[0],
        public_key=rest[1],
        algorithm=rest[2],
        sign_count=rest[3],
        backup_eligible=rest[4],
        backed_up=rest[5],
        transports=tuple(rest[6]),
        aaguid=rest[7],
        user_handle=rest[8],
    )


def enrolment_of(workspace_id: str, subject_id: str, session: str, kind: FactorKind, row: Row) -> Enrolment:
    """Return the enrolment of a row of ``read_enrolment`` or ``pop_enrolment``."""
    id_, expires_at, challenge, encrypted_secret = row
    return Enrolment(
        id=id_,
        workspace_id=workspace_id,
        subject_id=subject_id,
        session=session,
        kind=kind,
        expires_at=from_micros(expires_at),
        challenge=challenge,
        encrypted_secret=encrypted_secret,
    )


def record_of(row: Row) -> AuditRecord:
    """Return the audit record of a row: sequence number, chain, link, hash before, hash, body."""
    return read_record(*row)


def chain_start_of(row: Row) -> ChainStart:
    """Return the chain start of a row of ``chain_starts``."""
    chain, link, hash_, purged_at = row
    return ChainStart(chain=chain, link=link, hash=hash_, purged_at=from_micros(purged_at))


def head_of(row: Row) -> SignedHead:
    """Return the signed head of a row of ``heads``."""
    chain, link, hash_, at, key_id, signature = row
    return SignedHead(chain=chain, link=link, hash=hash_, at=from_micros(at), key_id=key_id, signature=signature)


def columns(rows: Sequence[Row], count: int) -> list[list[Any]]:
    """Return the rows as so many columns, which is how ``unnest`` takes them."""
    if not rows:
        return [[] for _ in range(count)]
    return [list(column) for column in zip(*rows, strict=True)]
