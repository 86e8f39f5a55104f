"""Prompts and tokens as Redis holds them: what scripts compare in fields, the rest as JSON."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from stepup_middleware.core.binding import RequestLine, details_digest
from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.decisions import CLOCK_SKEW, IssuedToken, Presentation, TokenState
from stepup_middleware.core.factors import FactorKind, FactorRequirement
from stepup_middleware.core.moments import from_micros, span_micros, to_micros
from stepup_middleware.core.prompts import Prompt, PromptState, StoredPrompt
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.base import TokenGrant

_SKEW = span_micros(CLOCK_SKEW)


def utf8(text: str) -> bytes:
    """Return a text as bytes, whatever an app puts in it: lone surrogates too."""
    return text.encode("utf-8", "surrogatepass")


def prompt_key(prompt_id: str) -> str:
    """Return the key of a prompt."""
    return f"stepup:prompt:{{{sha256(utf8(prompt_id)).hexdigest()}}}"


def token_key(reference: TokenReference) -> str:
    """Return the key of a token. The nonce is part of it: an id without its nonce leads nowhere."""
    return f"stepup:token:{{{reference.id:x}.{reference.nonce.hex()}}}"


def session_keys(workspace_id: str, subject_id: str, session: str) -> tuple[str, str, str]:
    """Return the keys of a session's open prompts, of its tokens, and of its refusals, all in one hash slot."""
    text = json.dumps([workspace_id, subject_id, session])
    tag = sha256(text.encode()).hexdigest()
    return f"stepup:open:{{{tag}}}", f"stepup:held:{{{tag}}}", f"stepup:refused:{{{tag}}}"


def prompt_fields(prompt: Prompt, epoch: int) -> dict[str, Any]:
    """Return the hash of a new prompt."""
    body = {
        "id": prompt.id,
        "workspace": prompt.workspace_id,
        "subject": prompt.subject_id,
        "subject_name": prompt.subject_name,
        "session": prompt.session,
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
        "created_at": to_micros(prompt.created_at),
    }
    return {
        "state": PromptState.OPEN.value,
        "epoch": epoch,
        "expires_at": to_micros(prompt.expires_at),
        "body": canonical_json(body),
    }


def prompt_of(state: bytes, expires_at: bytes, text: bytes) -> StoredPrompt:
    """Return the prompt of a hash."""
    body = json.loads(text)
    request = body["request"]
    prompt = Prompt(
        id=body["id"],
        workspace_id=body["workspace"],
        subject_id=body["subject"],
        subject_name=body["subject_name"],
        session=body["session"],
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
        created_at=from_micros(body["created_at"]),
        expires_at=from_micros(int(expires_at)),
    )
    return StoredPrompt(prompt=prompt, state=PromptState(state.decode()))


def challenge_text(challenge: PendingChallenge) -> str:
    """Return a challenge as text."""
    return json.dumps([challenge.nonce.hex(), challenge.factor_ids, to_micros(challenge.expires_at)])


def challenge_of(text: bytes) -> PendingChallenge:
    """Return the challenge of a text."""
    nonce, factor_ids, expires_at = json.loads(text)
    return PendingChallenge(
        nonce=bytes.fromhex(nonce), factor_ids=tuple(factor_ids), expires_at=from_micros(expires_at)
    )


def token_fields(grant: TokenGrant, epoch: int) -> dict[str, Any]:
    """Return the hash of the token that a grant brings."""
    prompt = grant.prompt
    request, details = prompt.request.digest().hex(), details_digest(prompt.details).hex()
    issued_at, expires_at = to_micros(grant.issued_at), to_micros(grant.expires_at)
    body = [
        prompt.id,
        prompt.workspace_id,
        prompt.subject_id,
        prompt.session,
        prompt.ip,
        prompt.purpose,
        prompt.requirement,
        prompt.policy_version,
        request,
        details,
        grant.factor_id,
        grant.factor_kind,
        issued_at,
        expires_at,
    ]
    return {
        "state": TokenState.ISSUED.value,
        "epoch": epoch,
        "workspace": utf8(prompt.workspace_id),
        "subject": utf8(prompt.subject_id),
        "session": utf8(prompt.session),
        "ip": utf8(prompt.ip),
        "purpose": utf8(prompt.purpose),
        "request": request,
        "details": details,
        "kind": grant.factor_kind.value,
        "issued_at": issued_at,
        "expires_at": expires_at,
        "body": json.dumps(body),
    }


def token_of(
    reference: TokenReference,
    state: TokenState,
    text: bytes,
    attempt: bytes | None,
    redeemed: bytes | None,
    replays: bytes | None,
) -> IssuedToken:
    """Return the token of the fields of a hash."""
    redeemed_at, redeemed_ip, redeemed_user_agent = json.loads(redeemed) if redeemed else (None, "", "")
    return _token_of(
        reference,
        state,
        text,
        attempt=bytes.fromhex(attempt.decode()) if attempt else None,
        redeemed_at=None if redeemed_at is None else from_micros(redeemed_at),
        redeemed_ip=redeemed_ip,
        redeemed_user_agent=redeemed_user_agent,
        replays=int(replays or 0),
    )


def redeemed_token(shown: Presentation, text: bytes) -> IssuedToken:
    """Return the token that a presentation redeemed, of the body of its hash."""
    return _token_of(
        shown.reference,
        TokenState.REDEEMED,
        text,
        attempt=shown.attempt,
        redeemed_at=shown.now,
        redeemed_ip=shown.ip,
        redeemed_user_agent=shown.user_agent,
    )


def _token_of(reference: TokenReference, state: TokenState, text: bytes, **fields: Any) -> IssuedToken:
    (
        prompt_id,
        workspace,
        subject,
        session,
        ip,
        purpose,
        requirement,
        version,
        request,
        details,
        factor,
        kind,
        issued_at,
        expires_at,
    ) = json.loads(text)
    return IssuedToken(
        reference=reference,
        state=state,
        prompt_id=prompt_id,
        workspace_id=workspace,
        subject_id=subject,
        session=session,
        ip=ip,
        purpose=purpose,
        requirement=FactorRequirement(requirement),
        policy_version=version,
        request_digest=bytes.fromhex(request),
        details_digest=bytes.fromhex(details),
        factor_id=factor,
        factor_kind=FactorKind(kind),
        issued_at=from_micros(issued_at),
        expires_at=from_micros(expires_at),
        **fields,
    )


def redeemed_text(shown: Presentation) -> str:
    """Return when, from where and with what a presentation redeemed."""
    return json.dumps([to_micros(shown.now), shown.ip, shown.user_agent])


def shown_arguments(shown: Presentation, epoch: int) -> tuple[Any, ...]:
    """Return a presentation as the redeeming script reads it."""
    return (
        epoch,
        shown.attempt.hex(),
        utf8(shown.workspace_id),
        utf8(shown.subject_id),
        utf8(shown.session),
        utf8(shown.ip),
        utf8(shown.purpose),
        shown.request_digest.hex(),
        shown.details_digest.hex(),
        redeemed_text(shown),
        span_micros(shown.ttl),
        shown.minimum.strength,
        to_micros(shown.now),
        _SKEW,
    )
