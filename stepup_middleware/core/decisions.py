"""May this token authorize this request now? All rules of redemption, the table first.

Every predicate is computed; the first one that holds gives the verdict, and all of them go to the log.
The order is part of the contract:

    ====  ==============================================  ======================  ==================
    rank  predicate                                       verdict                 what becomes of it
    ====  ==============================================  ======================  ==================
    1     redeemed before, whoever and wherever           REUSED, or SPENT where  stays redeemed
                                                          nobody presented it
    2     other subject, session or workspace             REQUIRED                revoked (wrong_holder)
    3     other IP                                        IP_MISMATCH             revoked (ip)
    4     no such row, or revoked                         REQUIRED                stays
    5     its life is over                                EXPIRED                 stays
    6     other purpose, request or details               REQUIRED                stays, still usable
    7     the factor behind it is gone or too weak now,   FACTOR_INSUFFICIENT     revoked (factor)
          or the purpose is on hold for the person
    8     none of these                                   REDEEMED                redeemed
    ====  ==============================================  ======================  ==================

A store redeems with one guarded statement whose condition is the conjunction of these predicates'
opposites, and calls ``decide`` only to say why a token was *not* redeemed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from stepup_middleware.errors import StoreError

from .binding import BoundRequest, Details
from .factors import FactorKind, FactorRequirement
from .replays import NONE, Replays
from .tokens import TokenReference

CLOCK_SKEW = timedelta(seconds=5)  # how far one node's clock may be behind another's


class TokenState(StrEnum):
    """``uncollected``: approved elsewhere, and nobody was given it yet (``core.approvals``); it redeems nothing."""

    UNCOLLECTED = "uncollected"
    ISSUED = "issued"
    REDEEMED = "redeemed"
    REVOKED = "revoked"


@dataclass(slots=True, kw_only=True)  # frozen, it would take twice as long to make
class TokenRow:
    """A token's row.

    ``request_digest`` and ``details_digest`` are what the person agreed to. ``attempt`` is the id of the
    presentation that redeemed it, ``replays`` what is remembered of those after that.
    """

    reference: TokenReference
    state: TokenState
    prompt_id: str
    workspace_id: str
    subject_id: str
    session: str
    ip: str
    purpose: str
    requirement: FactorRequirement
    policy_version: int
    request_digest: bytes
    details_digest: bytes
    factor_id: str
    factor_kind: FactorKind
    issued_at: datetime
    expires_at: datetime
    attempt: bytes | None = None
    redeemed_at: datetime | None = None
    redeemed_ip: str = ""
    redeemed_user_agent: str = ""
    replays: Replays = NONE


@dataclass(slots=True, kw_only=True)  # frozen, it would take twice as long to make
class Presentation:
    """A token presented with a request.

    ``attempt`` is 16 random bytes that name this presentation, so that a repeated statement recognises
    its own success. ``ttl`` and ``minimum`` are the purpose's of this moment. ``held``: nobody presented it,
    the library took it from what the person approved; so if it was redeemed meanwhile, that is nobody's replay.
    """

    reference: TokenReference
    attempt: bytes
    workspace_id: str
    subject_id: str
    subject_name: str
    actor: str
    client: str
    session: str
    ip: str
    user_agent: str
    purpose: str
    ttl: timedelta
    minimum: FactorRequirement
    retention_years: int
    request: BoundRequest
    request_text: str
    request_digest: bytes
    details: Details
    details_digest: bytes
    now: datetime
    held: bool = False


class Verdict(StrEnum):
    REDEEMED = "redeemed"
    REUSED = "reused"
    SPENT = "spent"  # what was approved has run, by another call of the program: nothing to tell, it is asked anew
    REQUIRED = "required"
    IP_MISMATCH = "ip_mismatch"
    EXPIRED = "expired"
    FACTOR_INSUFFICIENT = "factor_insufficient"


class Flag(StrEnum):
    """Each predicate by the word the log uses."""

    REDEEMED_BEFORE = "redeemed_before"
    WRONG_SUBJECT = "wrong_user"
    WRONG_SESSION = "wrong_session"
    WRONG_WORKSPACE = "wrong_workspace"
    WRONG_IP = "ip_mismatch"
    STATE_LOST = "state_lost"
    REVOKED = "revoked"
    EXPIRED = "expired"
    WRONG_PURPOSE = "wrong_purpose"
    WRONG_REQUEST = "wrong_request"
    WRONG_DETAILS = "wrong_details"
    FACTOR_GONE = "factor_gone"
    FACTOR_WEAK = "factor_insufficient"
    ON_HOLD = "on_hold"


_TABLE: tuple[tuple[frozenset[Flag], Verdict, str], ...] = (
    (frozenset({Flag.REDEEMED_BEFORE}), Verdict.REUSED, ""),
    (
        frozenset({Flag.WRONG_SUBJECT, Flag.WRONG_SESSION, Flag.WRONG_WORKSPACE}),
        Verdict.REQUIRED,
        "wrong_holder",
    ),
    (frozenset({Flag.WRONG_IP}), Verdict.IP_MISMATCH, "ip"),
    (frozenset({Flag.STATE_LOST, Flag.REVOKED}), Verdict.REQUIRED, ""),
    (frozenset({Flag.EXPIRED}), Verdict.EXPIRED, ""),
    (frozenset({Flag.WRONG_PURPOSE, Flag.WRONG_REQUEST, Flag.WRONG_DETAILS}), Verdict.REQUIRED, ""),
    (frozenset({Flag.FACTOR_GONE, Flag.FACTOR_WEAK, Flag.ON_HOLD}), Verdict.FACTOR_INSUFFICIENT, "factor"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The verdict, every flag, and why the token is to be revoked (empty: it is not)."""

    verdict: Verdict
    flags: tuple[Flag, ...] = ()
    revoke: str = ""


def token_expiry(row: TokenRow, ttl: timedelta) -> datetime:
    """Return when a token's life ends: the embedded end, or sooner where the purpose's TTL is shorter now."""
    return min(row.expires_at, row.issued_at + ttl)


def flags_of(row: TokenRow | None, shown: Presentation, *, factor_live: bool, held: bool = False) -> tuple[Flag, ...]:
    """Return every predicate that holds, in the order of the table."""
    if row is None or row.reference != shown.reference:
        return (Flag.STATE_LOST,)
    alive = shown.now < token_expiry(row, shown.ttl) and row.issued_at <= shown.now + CLOCK_SKEW
    predicates = (
        (Flag.REDEEMED_BEFORE, row.state is TokenState.REDEEMED),
        (Flag.WRONG_SUBJECT, row.subject_id != shown.subject_id),
        (Flag.WRONG_SESSION, row.session != shown.session),
        (Flag.WRONG_WORKSPACE, row.workspace_id != shown.workspace_id),
        (Flag.WRONG_IP, row.ip != shown.ip),
        (Flag.REVOKED, row.state in (TokenState.REVOKED, TokenState.UNCOLLECTED)),
        (Flag.EXPIRED, not alive),
        (Flag.WRONG_PURPOSE, row.purpose != shown.purpose),
        (Flag.WRONG_REQUEST, row.request_digest != shown.request_digest),
        (Flag.WRONG_DETAILS, row.details_digest != shown.details_digest),
        (Flag.FACTOR_GONE, not factor_live),
        (Flag.FACTOR_WEAK, not shown.minimum.accepts(row.factor_kind)),
        (Flag.ON_HOLD, held and shown.minimum is FactorRequirement.PHISHING_RESISTANT),
    )
    return tuple(flag for flag, holds in predicates if holds)


def decide(row: TokenRow | None, shown: Presentation, *, factor_live: bool, held: bool = False) -> Decision:
    """Return the verdict on a presentation.

    ``factor_live``: the factor behind the token is still enrolled. ``held``: there is a hold on its holder.
    """
    flags = flags_of(row, shown, factor_live=factor_live, held=held)
    for group, verdict, revoke in _TABLE:
        if not group.isdisjoint(flags):
            if verdict is Verdict.REUSED and shown.held:
                verdict = Verdict.SPENT
            return Decision(verdict=verdict, flags=flags, revoke=revoke)
    return Decision(verdict=Verdict.REDEEMED)


def epoch_refusal(
    shown: Presentation, row: TokenRow, *, lasts: bool, factor_live: bool, authorized: bool, held: bool = False
) -> Decision | None:
    """Return why a token that a hot server redeemed does not count, None when it does.

    S27, S29: an epoch ends when the hot server is another one, so what a copy of it revived counts for nothing.
    ``lasts``: the token's epoch is the present one. ``authorized``: the log says that it authorized an action before.
    """
    if authorized:
        return decide(replace(row, state=TokenState.REDEEMED), shown, factor_live=factor_live)
    if lasts and factor_live and not (held and shown.minimum is FactorRequirement.PHISHING_RESISTANT):
        return None
    state = TokenState.ISSUED if lasts else TokenState.REVOKED
    decision = decide(replace(row, state=state), shown, factor_live=factor_live, held=held)
    if decision.verdict in (Verdict.REDEEMED, Verdict.REUSED, Verdict.SPENT):
        raise StoreError("the records and the decision table disagree on a token")
    return decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    """What a store answers to a presentation: the decision, and the token's row as it was read."""

    decision: Decision
    row: TokenRow | None
