"""From a passed ceremony to a token: what the store is given, and why it may refuse."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from stepup_middleware.errors import StoreError

from .approvals import Decider
from .decisions import TokenState
from .events import AuditEvent
from .factors import FactorKind
from .prompts import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGrant:
    """A passed ceremony, to be turned into a token.

    ``sign_count`` and ``backed_up`` are the assertion's for a WebAuthn factor (``expected_sign_count`` is
    what they were judged against); ``time_step`` is the matched one for a one-time password. ``nonce`` is
    16 random bytes. ``bucket`` is the attempt bucket that the success clears. ``decider`` is set where the person
    approves what a program of theirs asks: the token then waits to be collected until ``expires_at``.
    """

    prompt: Prompt
    factor_id: str
    factor_kind: FactorKind
    nonce: bytes
    bucket: str
    event: AuditEvent
    issued_at: datetime
    expires_at: datetime
    expected_sign_count: int | None = None
    sign_count: int | None = None
    backed_up: bool | None = None
    time_step: int | None = None
    decider: Decider | None = None

    @property
    def state(self) -> TokenState:
        """The state of the token that it brings."""
        return TokenState.ISSUED if self.decider is None else TokenState.UNCOLLECTED


class GrantRefused(StrEnum):
    """Why a passed ceremony brought no token: something else happened before it."""

    PROMPT_CLOSED = "prompt_closed"
    FACTOR_GONE = "factor_removed"
    SIGN_COUNT_MOVED = "clone_suspected"
    STEP_SPENT = "totp_replay"


def factor_refusal(grant: TokenGrant, factor: tuple[str, int | None] | None) -> GrantRefused | None:
    """Return why the person's factor (its kind and sign count) forbids a grant, apart from a spent time-step.

    Raises ``StoreError`` for an incomplete proof.
    """
    if factor is None or factor[0] != grant.factor_kind or grant.factor_id not in grant.prompt.factor_ids:
        return GrantRefused.FACTOR_GONE
    if grant.factor_kind is FactorKind.TOTP:
        if grant.time_step is None:
            raise StoreError("a one-time password was granted without its time-step")
        return None
    if grant.sign_count is None or grant.expected_sign_count is None:
        raise StoreError("an assertion was granted without its sign count")
    return None if factor[1] == grant.expected_sign_count else GrantRefused.SIGN_COUNT_MOVED
