"""The contract of every store, in the verbs of the domain.

What holds for all methods:

- Each is one transaction: all of it happened, durably, before the method returns, or none of it did.
- ``now`` comes from the caller (aware UTC). No store reads a clock to decide anything.
- Audit events given to a method are written in the same transaction as what they tell.
- A cancelled caller never leaves a transaction open; what was handed over may still take effect.
- Driver errors come out as ``StoreError``, a late answer as ``StoreTimeoutError``; nothing else does.
- Reads see every write that returned before they began, from any process on the same database.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import TracebackType
from typing import Self

from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.decisions import Presentation, Redemption
from stepup_middleware.core.events import AuditEvent, AuditRecord, EventName, Outcome
from stepup_middleware.core.factors import Factor, FactorKind, TOTPFactor, WebAuthnFactor
from stepup_middleware.core.heads import SignedHead as SignedHead  # stores and their tests find it here too
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.prompts import Asked, NoFactor, Prompt, StoredPrompt
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLimit:
    """How many failures in a row are free, and how long the pause after more.

    After ``failures`` consecutive failures each further one closes the bucket for ``pause``, doubled with
    every failure up to ``longest``; at ``disable_at`` failures it stays closed (NIST SP 800-63B-4 §3.2.2:
    at most 100) until the factor is enrolled anew. None: never for good, for a proof that no guessing finds.
    Raises ``ConfigurationError`` for numbers and times that bound nothing.
    """

    failures: int = 5
    pause: timedelta = timedelta(minutes=1)
    longest: timedelta = timedelta(hours=1)
    disable_at: int | None = 100

    def __post_init__(self) -> None:
        numbers = [self.failures] if self.disable_at is None else [self.failures, self.disable_at]
        spans = (self.pause, self.longest)
        if any(type(number) is not int or number < 1 for number in numbers):
            raise ConfigurationError("AttemptLimit: failures and disable_at are whole numbers from 1 on")
        if any(not isinstance(span, timedelta) or span <= timedelta(0) for span in spans) or self.longest < self.pause:
            raise ConfigurationError("AttemptLimit: pause and longest are positive timedeltas, longest the longer one")

    def closed_for(self, failed: int) -> timedelta | None:
        """Return the pause after the n-th failure in a row: zero, a time, or None for closed for good."""
        if self.disable_at is not None and failed >= self.disable_at:
            return None
        if failed < self.failures:
            return timedelta(0)
        return min(self.pause * int(2 ** min(failed - self.failures, 16)), self.longest)


@dataclass(frozen=True, slots=True, kw_only=True)
class TooMany:
    """Refused for now: the caller may come back after ``retry_after``."""

    retry_after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGrant:
    """A passed ceremony, to be turned into a token.

    ``sign_count`` and ``backed_up`` are the assertion's for a WebAuthn factor (``expected_sign_count`` is
    what they were judged against); ``time_step`` is the matched one for a one-time password. ``nonce`` is
    16 random bytes. ``bucket`` is the attempt bucket that the success clears.
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


class GrantRefused(StrEnum):
    """Why a passed ceremony brought no token: something else was faster."""

    PROMPT_CLOSED = "prompt_closed"
    FACTOR_GONE = "factor_removed"
    SIGN_COUNT_MOVED = "clone_suspected"
    STEP_SPENT = "totp_replay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """An enrolment that has begun: a WebAuthn challenge, or a one-time-password secret to confirm.

    ``challenge`` is 32 bytes for WebAuthn; ``encrypted_secret`` is set for TOTP. One answer each.
    """

    id: str
    workspace_id: str
    subject_id: str
    session: str
    kind: FactorKind
    expires_at: datetime
    challenge: bytes = b""
    encrypted_secret: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What to read of the log. Every field that is set must match; ``since`` is inclusive, ``until`` not."""

    event: EventName | None = None
    purpose: str | None = None
    subject: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Records, newest first, and the cursor of the next page (None at the end)."""

    events: tuple[AuditRecord, ...]
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """How many records there are of each hour and event, of those up to ``last_seq``: nothing is still to come there.

    ``by_hour`` has the pairs that occur; an hour is told by its start, in UTC.
    """

    by_hour: Mapping[tuple[datetime, EventName], int]
    last_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStart:
    """Where a chain begins after purging: the last purged link and its hash."""

    chain: str
    link: int
    hash: bytes
    purged_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A critical event that not every sink has had. ``had`` names those that have."""

    record: AuditRecord
    had: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What one bounded purge removed."""

    events: int = 0
    prompts: int = 0
    tokens: int = 0
    more: bool = False
    anomalies: tuple[str, ...] = field(default=())


class AuditLog(ABC):
    """The log, for whoever only reads it: to verify it, to export it, to make evidence of it."""

    @abstractmethod
    async def audit_after(
        self, workspace_id: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> tuple[AuditRecord, ...]:
        """Return up to ``limit`` records with ``seq`` above ``after``, oldest first; None: every workspace."""

    @abstractmethod
    async def last_seq(self) -> int:
        """Return the highest sequence number of the log, 0 when it is empty."""

    @abstractmethod
    async def audit_segment(self, chain: str, first: int, last: int) -> tuple[AuditRecord, ...]:
        """Return the records of a chain from link ``first`` to ``last``, both included."""

    @abstractmethod
    async def chain_heads(self) -> tuple[AuditRecord, ...]:
        """Return the newest record of every chain."""

    @abstractmethod
    async def chain_starts(self) -> tuple[ChainStart, ...]:
        """Return where purged chains begin."""

    @abstractmethod
    async def heads(self, chain: str, *, from_link: int = 0, limit: int = 100) -> tuple[SignedHead, ...]:
        """Return signed heads of a chain at or after a link, oldest first."""

    @abstractmethod
    async def signed_chains(self) -> tuple[str, ...]:
        """Return the names of all chains that have a signed head, those without a record among them."""


class Store(AuditLog):
    """Keeps everything that must outlive a request. See the module for what holds for every method."""

    @abstractmethod
    async def start(self) -> None:
        """Open the store: create or migrate the schema, prove that it can be written durably.

        Raises ``ConfigurationError`` for a set-up that could lose a redemption, ``StoreError`` when the
        store cannot be reached.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish what was handed over, then close. Safe to call twice."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # prompts and ceremonies

    @abstractmethod
    async def ask(self, asked: Asked, *, open_limit: int) -> Prompt | NoFactor | TooMany:
        """Read policy and factors, decide with ``core.prompts.ask``, write the prompt and its event.

        Writes ``core.prompts.asking_event`` and the events in ``asked.also``. ``TooMany`` when ``open_limit``
        places of the session are taken: by prompts that are neither proved nor expired, and by requests
        refused for want of a factor in the last ``PROMPT_LIFETIME``. Then no prompt is written, and at most
        one event a minute and session (``BLOCKED``, reason ``rate_limited``) tells of it.
        """

    @abstractmethod
    async def get_prompt(self, prompt_id: str, *, now: datetime) -> StoredPrompt | None:
        """Return a prompt that has not expired, whatever its state; None otherwise."""

    @abstractmethod
    async def set_challenge(self, prompt_id: str, challenge: PendingChallenge, *, now: datetime) -> bool:
        """Set the one pending challenge of an open, unexpired prompt, replacing an earlier one.

        False when the prompt is not open any more.
        """

    @abstractmethod
    async def pop_challenge(self, prompt_id: str, *, now: datetime) -> PendingChallenge | None:
        """Take the pending challenge of an open prompt, so that nobody gets it again. None: there is none.

        The caller checks its expiry; popping an expired one still takes it.
        """

    @abstractmethod
    async def reserve_attempt(
        self, workspace_id: str, subject_id: str, bucket: str, *, limit: AttemptLimit, now: datetime
    ) -> TooMany | None:
        """Count one attempt *before* it is judged, or refuse it while the bucket is closed.

        The count is per workspace, person and bucket, over all prompts, sessions, nodes and addresses, and
        parallel attempts share it: an attempt counts as failed until ``issue_token`` clears the bucket.
        """

    @abstractmethod
    async def issue_token(self, grant: TokenGrant) -> TokenReference | GrantRefused:
        """Turn a passed ceremony into a token: all of it, or nothing.

        In one transaction: the prompt goes from open to proved; the factor is still enrolled, and its sign
        count is still the expected one (and is advanced), or the time-step is later than the person's last
        (and becomes it); the event is written; the bucket is cleared; the token is stored as ``issued``.
        A ``STEP_SPENT`` or other refusal leaves the prompt open.
        """

    @abstractmethod
    async def cancel_prompt(self, prompt_id: str, *, event: AuditEvent, now: datetime) -> bool:
        """Cancel an open or proved prompt; a token of it that was not redeemed is revoked (cancelled).

        A redeemed token stays redeemed. False when there was nothing to cancel (then nothing is written).
        """

    # redemption

    @abstractmethod
    async def redeem(self, shown: Presentation) -> Redemption:
        """Redeem a token, or say why not: the heart of the product.

        One guarded statement checks every predicate of ``core.decisions`` and sets the token redeemed with
        ``shown.attempt``; where it did nothing, the row is read and judged by ``decide`` in the same
        transaction, and revoked if the decision says so (never a redeemed one). The event of
        ``core.decisions.presentation_event`` is written with it; replays are counted on the row and logged
        where ``worth_logging``. When ``Redemption.decision.verdict`` is ``REDEEMED``, the token and
        ``ACTION_AUTHORIZED`` are durable.
        """

    @abstractmethod
    async def revoke_session(self, workspace_id: str, subject_id: str, session: str, *, now: datetime) -> None:
        """Cancel the prompts of a session and revoke its unredeemed tokens (signed out; ASVS 7.4.1)."""

    @abstractmethod
    async def revoke_all(self, *, event: AuditEvent | None, now: datetime) -> None:
        """Make every prompt and token that is outstanding now worthless, on all nodes."""

    # audit

    @abstractmethod
    async def append(self, events: Sequence[AuditEvent]) -> None:
        """Write events to the log."""

    @abstractmethod
    def append_soon(self, event: AuditEvent) -> None:
        """Hand over an event that nobody waits for (how an action ended). It is written by ``close`` at the latest.

        Never raises and never blocks; what cannot be written is counted and logged by the store.
        """

    @abstractmethod
    def subscribe(self, heard: Callable[[Sequence[tuple[int, AuditEvent]]], None]) -> None:
        """Call ``heard`` with (seq, event) of everything this process wrote, once it is durable.

        Called on the event loop that handed the events over, in the order of the log; ``heard`` returns at
        once and never raises. Without a subscriber nothing is collected.
        """

    @abstractmethod
    async def audit_page(
        self, workspace_id: str | None, wanted: AuditFilter, *, before: int | None, limit: int
    ) -> AuditPage:
        """Return up to ``limit`` records with ``seq`` below ``before``, newest first; None: every workspace."""

    @abstractmethod
    async def count_events(self, workspace_id: str, *, since: datetime, until: datetime | None = None) -> EventCounts:
        """Count the records of a workspace, ``since`` inclusive, ``until`` not, where they are: none is read out."""

    @abstractmethod
    async def add_head(self, head: SignedHead) -> None:
        """Keep a signed head."""

    @abstractmethod
    async def wait_for_audit(self, after: int, *, seconds: float) -> None:
        """Return when the log may have records above ``after``, from any process, or after ``seconds``.

        A spurious return is allowed; a missed one costs the caller no more than ``seconds``.
        """

    @abstractmethod
    async def purge(self, *, now: datetime, limit: int, vouched: bool = False) -> Purged:
        """Remove at most ``limit`` rows of each kind whose time is over.

        Audit events go when their retention in calendar years has passed, a prefix of their chain at a
        time, leaving a ``ChainStart``; the heads of what went go with them. Prompts go an hour after they
        expired, tokens 30 days after theirs (until then a replay is known for what it is). Purges nothing and
        reports an anomaly when ``core.retention.clock_anomaly`` does not believe ``now``, unless a person
        ``vouched`` for it.
        """

    @abstractmethod
    async def claim_alerts(self, *, now: datetime, until: datetime, limit: int) -> tuple[Alert, ...]:
        """Take up to ``limit`` alerts that nobody holds at ``now``, oldest first, and hold them ``until`` then.

        The first ``REUSED`` of each token is an alert from the transaction that writes it, held for a minute
        by the process that wrote it.
        """

    @abstractmethod
    async def settle_alert(self, seq: int, *, had: Sequence[str], over: bool) -> None:
        """Note which sinks have had an alert, by their names; ``over``: all have, and it is done with."""

    # policy

    @abstractmethod
    async def get_policy(self, workspace_id: str) -> StoredPolicy:
        """Return a workspace's policy; version 0 and no values when none was ever saved."""

    @abstractmethod
    async def set_policy(
        self, workspace_id: str, changes: Sequence[tuple[str, str]], events: Sequence[AuditEvent], *, now: datetime
    ) -> StoredPolicy:
        """Save requirements by purpose id together, advance the version by one, write the events."""

    # factors

    @abstractmethod
    async def list_factors(self, workspace_id: str, subject_id: str) -> tuple[Factor, ...]:
        """Return a person's enrolled factors, oldest first."""

    @abstractmethod
    async def user_handle(self, workspace_id: str, subject_id: str, *, fresh: bytes) -> bytes:
        """Return the person's WebAuthn user handle, storing ``fresh`` (64 random bytes) if there is none."""

    @abstractmethod
    async def begin_enrolment(self, enrolment: Enrolment, *, now: datetime) -> None:
        """Keep an enrolment that has begun; one per person, session and kind, a new one replaces it."""

    @abstractmethod
    async def pop_enrolment(
        self, workspace_id: str, subject_id: str, session: str, kind: FactorKind, *, id: str | None, now: datetime
    ) -> Enrolment | None:
        """Take a pending, unexpired enrolment of this session (of this ``id``, where given)."""

    @abstractmethod
    async def get_enrolment(
        self, workspace_id: str, subject_id: str, session: str, kind: FactorKind, *, id: str, now: datetime
    ) -> Enrolment | None:
        """Return a pending, unexpired enrolment without taking it (a mistyped code may be tried again)."""

    @abstractmethod
    async def add_webauthn_factor(
        self, workspace_id: str, subject_id: str, factor: WebAuthnFactor, *, event: AuditEvent, first: bool = False
    ) -> bool:
        """Add a credential. False, and nothing is changed, when its id is registered already, by anyone.

        ``first``: it was begun as the person's first factor, without a step-up. False as well when they
        have one by now.
        """

    @abstractmethod
    async def add_totp_factor(
        self,
        workspace_id: str,
        subject_id: str,
        factor: TOTPFactor,
        *,
        enrolment_id: str,
        event: AuditEvent,
        first: bool = False,
    ) -> bool:
        """Add a confirmed secret and take its enrolment; ``factor.last_step`` becomes the person's last step
        (if later). False when the enrolment is gone, or the person's last step is as late: nothing is changed.
        ``first`` as for ``add_webauthn_factor``. Clears the person's ``totp`` attempt bucket."""

    @abstractmethod
    async def rename_factor(self, workspace_id: str, subject_id: str, factor_id: str, name: str) -> bool:
        """Rename a person's own factor. False when they have none of that id."""

    @abstractmethod
    async def remove_factor(
        self,
        workspace_id: str,
        subject_id: str,
        factor_id: str,
        *,
        event: AuditEvent,
        now: datetime,
        only_spare: bool = False,
    ) -> bool:
        """Remove a person's own factor; what it proved and nobody redeemed is worthless from then on.

        ``only_spare``: the factors of this moment must allow it (``core.factors.may_remove``). False, and
        nothing is changed, when they do not, or when there is no such factor.
        """

    @abstractmethod
    async def last_time_step(self, workspace_id: str, subject_id: str) -> int:
        """Return the person's last accepted time-step, 0 when there was none."""

    @abstractmethod
    async def advance_time_step(self, workspace_id: str, subject_id: str, step: int) -> bool:
        """Spend a time-step (a code accepted at the app's own sign-in). False when it is spent already."""

    @abstractmethod
    async def reencrypt_secrets(self, limit: int, after: str, rewrite: Callable[[bytes], bytes]) -> str | None:
        """Rewrite up to ``limit`` stored secrets after factor id ``after``; return the last id, None at the end.

        ``rewrite`` turns a secret encrypted under any key of the ring into one under the first.
        """
