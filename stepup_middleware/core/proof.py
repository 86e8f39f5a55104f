"""What a gate asks for, and the proof that it is given, which a handler finds at ``scope["stepup"]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .binding import BoundRequest, Details
    from .decisions import Presentation, TokenRow
    from .factors import FactorKind, FactorRequirement
    from .purposes import Purpose


@dataclass(slots=True, kw_only=True)  # one a request
class ActionRequest:
    """A request that wants to run: for which purpose, what it is, and the tokens that came with it.

    ``tokens`` are the raw values of every ``StepUp-Token`` header, or the one of the library's own cookie
    on a navigation. ``prefetch``: nobody clicked, so that it is refused without a prompt. ``linked``: a page of another
    site led here, which must not use up the person's limit of open prompts. ``elsewhere``: no browser sent it, and the
    purpose may be approved in one. ``held``: what the person approved of this very request is redeemed without the
    program ever having its token.
    """

    purpose: Purpose
    request: BoundRequest
    details: Details
    tokens: Sequence[bytes] = field(repr=False)
    prefetch: bool = False
    linked: bool = False
    elsewhere: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A redeemed proof: this person authorized this request, once, at ``authorized_at`` (aware UTC).

    ``subject_id`` in ``workspace_id`` answered the prompt ``prompt_id`` for ``purpose``, with the factor ``factor_id``
    of the kind ``factor_kind``. ``requirement`` is what the policy in effect asked for, ``policy_version`` which one
    it was. ``details`` are the label/value pairs that the person was shown.
    ``actor`` acted on their behalf, and ``client`` is what it calls itself (both as ``Subject`` has them).
    """

    prompt_id: str
    purpose: str
    workspace_id: str
    subject_id: str
    factor_id: str
    factor_kind: FactorKind
    requirement: FactorRequirement
    policy_version: int
    details: Details
    actor: str
    client: str
    authorized_at: datetime

    @property
    def acr(self) -> str:
        """The authentication context class reference: ``phr`` where phishing is resisted, else ``mfa`` (RFC 9470)."""
        return "phr" if self.factor_kind.phishing_resistant else "mfa"

    @property
    def amr(self) -> tuple[str, ...]:
        """The authentication method references (RFC 8176 §2)."""
        return self.factor_kind.amr


def proof_of(row: TokenRow, shown: Presentation) -> Proof:
    """Return the proof of a redemption."""
    return Proof(
        prompt_id=row.prompt_id,
        purpose=row.purpose,
        workspace_id=row.workspace_id,
        subject_id=row.subject_id,
        factor_id=row.factor_id,
        factor_kind=row.factor_kind,
        requirement=row.requirement,
        policy_version=row.policy_version,
        details=shown.details,
        actor=shown.actor,
        client=shown.client,
        authorized_at=shown.now,
    )
