"""The contract of every store, in the verbs of the domain.

It has two parts. ``HotState`` is what may be forgotten: prompts, challenges and tokens; a person who loses them is
asked again. ``Records`` is what must not: factors, policies, attempts, and the audit log. A ``Store`` keeps both; an
``EpochStore`` is one that can also stand behind a hot state of another kind, such as Redis.

For all methods:

- Each is one transaction: all of it happened, durably, before the method returns, or none of it did.
- ``now`` comes from the caller (aware UTC). No store reads a clock to decide anything.
- Audit events given to a method are written in the same transaction as the change that they describe.
- A cancelled caller never leaves a transaction open; what was handed over may still take effect.
- Driver errors come out as ``StoreError``, a late answer as ``StoreTimeoutError``; nothing else does.
- Reads see every write that returned before they began, from any process on the same database.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime, timedelta

from stepup_middleware.core.attempts import TooMany
from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.decisions import Presentation, Redemption
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.grants import GrantRefused, TokenGrant
from stepup_middleware.core.prompts import NoFactor, Prompt, PromptRequest, StoredPrompt
from stepup_middleware.core.recovery import FactorsReset
from stepup_middleware.core.tokens import TokenReference

from .audit_log import Opened
from .records import Records


class HotState(Opened):
    """Keeps prompts and tokens, in front of ``records``. See the module for what holds for every method.

    ``start`` and ``close`` open and close the records with it. The events of a method are durable in ``records`` when
    it returns.
    """

    @property
    @abstractmethod
    def records(self) -> Records:
        """Where everything else is kept."""

    @property
    def waiting(self) -> int:
        """How many operations wait in this process, beside those that wait for ``records``."""
        return 0

    # prompts and ceremonies

    @abstractmethod
    async def ask(self, asked: PromptRequest, *, open_limit: int) -> Prompt | NoFactor | TooMany:
        """Read policy and factors, decide with ``core.prompts.ask``, write the prompt and its event.

        Writes ``core.prompts.asking_event`` and the events in ``asked.extra_events``. ``TooMany`` when the session has
        reached ``open_limit``: by prompts that are neither proved nor expired, by proved ones whose token may still be
        redeemed, and by requests refused for want of a factor in the last ``PROMPT_LIFETIME``. Then no prompt is
        written, and at most one event a minute and session (``BLOCKED``, ``rate_limited``) is written.
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

    async def issue_token(self, grant: TokenGrant) -> TokenReference | GrantRefused:
        """Turn a passed ceremony of one prompt into a token: see ``issue_tokens``."""
        (answer,) = await self.issue_tokens([grant])
        return answer

    @abstractmethod
    async def issue_tokens(self, grants: Sequence[TokenGrant]) -> Sequence[TokenReference | GrantRefused]:
        """Turn one passed ceremony into a token for each prompt that it answered: all of it, or nothing.

        ``grants`` are of different prompts of one person, with the same factor, proof, bucket and time. In one
        transaction: each prompt goes from open to proved; the factor is still enrolled, and its sign count is still the
        expected one (and is advanced, once), or the time-step is later than the person's last (and becomes it); the
        events are written; the bucket is cleared; the tokens are stored as ``issued``. Answers in the order of the
        grants: a prompt that is not open any more has ``PROMPT_CLOSED``, and the others their tokens. Where none is
        open nothing is spent. A ``STEP_SPENT`` or other refusal is that of all others, and leaves their prompts open.

        With ``grant.decider``, which stands alone, the approval of the prompt must wait, and be matched in that session
        (``core.approvals.may_be_approved``): it is approved in the same transaction of the records, and the token is
        stored as ``uncollected``. Else the prompt is closed. Without a decider the approval of a prompt that has one
        must wait as well, and ends as proved in that transaction (``core.approvals.proved``): what was denied cannot be
        proved after it, and what was proved cannot be denied.
        """

    @abstractmethod
    async def collect_token(self, reference: TokenReference, *, ttl: timedelta, now: datetime) -> datetime | None:
        """Hand out the token that an approval brought, and return when its life ends.

        The first time it goes from uncollected to ``issued``, and its life of ``ttl`` begins ``now``; after that it is
        the same token with the same end, as long as it may be redeemed. None for every other token.
        """

    @abstractmethod
    async def cancel_prompt(self, prompt_id: str, *, event: AuditEvent | None, now: datetime) -> bool:
        """Cancel an open or proved prompt; a token of it that was not redeemed is revoked (cancelled).

        A redeemed token stays redeemed. False when there was nothing to cancel (then nothing is written). No event:
        the log tells of it already.
        """

    @abstractmethod
    async def reset_factors(self, wanted: FactorsReset, events: Sequence[AuditEvent], *, now: datetime) -> bool:
        """Take away a person's factors, enrolments, rights, codes and attempts, and end their prompts and tokens.

        The hold (unless a longer one stands) and the new pass of ``wanted`` take their place, and the events are
        written. With them their acts as an admin end: resets that they asked for and passes that they issued, which
        nobody has used, are taken back, with events of their own. False, and nothing is changed, when the request
        that it confirms does not wait any more, or the factor of its ``proof`` is no more (``issue_pass``).
        """

    async def probe(self) -> None:
        """Write something that means nothing, here and durably in ``records``. Raises ``StoreError``."""

    # redemption

    @abstractmethod
    async def redeem(self, shown: Presentation) -> Redemption:
        """Redeem a token, or say why not: the heart of the product.

        One guarded statement checks every predicate of ``core.decisions`` and sets the token redeemed with
        ``shown.attempt``; where it did nothing, the row is read and judged by ``decide`` in the same
        transaction, and revoked if the decision says so (never a redeemed one). The events of
        ``core.presentations.presentation_events`` are written with it; replays are counted on the row, which
        remembers who presented it, and logged where ``core.replays`` says. When ``Redemption.decision.verdict``
        is ``REDEEMED``, the token and ``ACTION_AUTHORIZED`` are durable.
        """

    @abstractmethod
    async def revoke_session(self, workspace_id: str, subject_id: str, session: str, *, now: datetime) -> None:
        """Cancel prompts and waiting approvals of a session, revoke its unredeemed tokens (signed out; ASVS 7.4.1).

        Those of everybody who acts in the session are among them (``core.subject.in_session``).
        """

    @abstractmethod
    async def revoke_all(self, *, event: AuditEvent | None, now: datetime) -> None:
        """Make every prompt and token that is outstanding now worthless, on all nodes."""


class Store(HotState, Records):
    """Keeps both: a redemption and its event are one transaction."""

    @property
    def records(self) -> Records:
        return self
