"""What a passed ceremony grants: the row of a token, what the log keeps of the proof, and the token itself."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from stepup_middleware.core.approvals import Decider
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.factors import Factor
from stepup_middleware.core.grants import TokenGrant
from stepup_middleware.core.prompts import Prompt
from stepup_middleware.core.tokens import NONCE_BYTES

from .requester import Requester


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A token fresh from a passed ceremony, and when its life ends."""

    token: str = field(repr=False)
    expires_at: datetime
    prompt: Prompt


def proof_data(factor: Factor, evidence: Mapping[str, Any]) -> dict[str, object]:
    """Return what the event of a passed ceremony says of the proof (``acr``, ``amr``: RFC 9470, RFC 8176)."""
    return {
        "acr": "phr" if factor.kind.phishing_resistant else "mfa",
        "amr": list(factor.kind.amr),
        "factor_name": factor.name,
        "proof": dict(evidence),
    }


class Counters(TypedDict, total=False):
    """What a passed ceremony moves on in its factor, as ``TokenGrant`` has it."""

    expected_sign_count: int | None
    sign_count: int | None
    backed_up: bool | None
    time_step: int | None


def token_grant(
    requester: Requester,
    prompt: Prompt,
    factor: Factor,
    *,
    ttl: timedelta,
    bucket: str,
    event: AuditEvent,
    decider: Decider | None = None,
    **counters: Unpack[Counters],
) -> TokenGrant:
    """Return the grant of a token of this life. ``counters`` are the sign count or the time-step to advance."""
    return TokenGrant(
        prompt=prompt,
        factor_id=factor.id,
        factor_kind=factor.kind,
        nonce=secrets.token_bytes(NONCE_BYTES),
        bucket=bucket,
        event=event,
        issued_at=requester.now,
        expires_at=requester.now + ttl,
        decider=decider,
        **counters,
    )
