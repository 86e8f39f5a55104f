"""The contract of what must not be lost: factors, policies, attempts, and the audit log.

``base`` says what holds for every method.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime
from typing import NamedTuple, Self

from stepup_middleware.core.attempts import AttemptLimit, TooMany
from stepup_middleware.core.audit import AuditFilter, AuditPage, Backlog, Delivery, EventCounts, Load
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.factors import Enrolment, Factor, FactorKind, TOTPFactor, WebAuthnFactor
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.retention import Purged
from stepup_middleware.core.topics import Topic
from stepup_middleware.log.integrator import BATCH, SeenTree, Step, TreeState
from stepup_middleware.log.records import RowMacs
from stepup_middleware.log.stored import StoredCheckpoint

from .approvals import ApprovalRecords
from .audit_log import AuditLog, Opened
from .recovery import RecoveryRecords
from .sealing import MissingKeys, Rewrite, TamperTaker


class NewFactor(NamedTuple):
    """A factor that is added to a person without a ceremony, with its event."""

    workspace_id: str
    subject_id: str
    factor: Factor
    event: AuditEvent


class Records(Opened, AuditLog, RecoveryRecords, ApprovalRecords):
    """Keeps what must not be lost. See the module for what holds for every method."""

    @abstractmethod
    def use(self, macs: RowMacs | None) -> Self:
        """Make the MACs of rows with ``macs``, from the next ``start`` on. Returns the store.

        ``StepUp`` calls it with those of its ``secret_key``. A store that was given none reads, and writes no record:
        what would write one raises ``StoreError``.
        """

    # attempts and time-steps

    @abstractmethod
    async def reserve_attempt(
        self, workspace_id: str, subject_id: str, bucket: str, *, limit: AttemptLimit, now: datetime
    ) -> TooMany | None:
        """Count one attempt *before* it is judged, or refuse it while the bucket is closed.

        The count is per workspace, person and bucket, over all prompts, sessions, nodes and addresses, and
        parallel attempts share it: an attempt counts as failed until ``issue_tokens`` clears the bucket.
        """

    @abstractmethod
    async def last_time_step(self, workspace_id: str, subject_id: str) -> int:
        """Return the last time-step that ``advance_time_step`` spent, 0 when there was none."""

    @abstractmethod
    async def advance_time_step(self, workspace_id: str, subject_id: str, step: int) -> bool:
        """Spend a time-step (a code accepted at the app's own sign-in) for all secrets of the person.

        False when it or a later one is spent already, there or by any of their factors, removed ones included.
        """

    # audit

    @abstractmethod
    async def append(self, events: Sequence[AuditEvent]) -> None:
        """Write events to the log."""

    @abstractmethod
    async def probe(self) -> None:
        """Write something that means nothing, durably, as a redemption would be. Raises ``StoreError``."""

    @abstractmethod
    async def backlog(self, *, now: datetime, limit: int) -> Backlog:
        """Return what waits, each counted up to ``limit``: for a health page and metrics.

        Undelivered is what was written before ``now`` less ``core.retention.DELIVERIES_LATE``.
        """

    @property
    def load(self) -> Load:
        """What this process has for the database, and what that did for it: known while it is away, too."""
        return Load()

    @abstractmethod
    def append_soon(self, event: AuditEvent) -> None:
        """Hand over an event that nobody waits for (how an action ended). It is written by ``close`` at the latest.

        Never raises and never blocks. An event that cannot be written is handed to ``on_unwritten``.
        """

    @abstractmethod
    def on_unwritten(self, taker: Callable[[Sequence[AuditEvent]], None]) -> None:
        """Call ``taker`` with the events given to ``append_soon`` that could not be written, in whatever thread.

        It returns at once and never raises. An event that was handed to it may have been written after all, where the
        store answered too late: who writes it again looks for it first.
        """

    @abstractmethod
    async def check_mac_keys(self) -> MissingKeys:
        """Note the keys of the MACs as this installation's own, and return those in use that are not among them."""

    @abstractmethod
    def on_tampering(self, taker: TamperTaker) -> None:
        """Call ``taker`` with each row that is met and that this installation did not write as it is.

        Such a row does not count. It is called in whatever thread, with one row perhaps many times; it returns at once
        and never raises.
        """

    @abstractmethod
    def subscribe(self, subscriber: Callable[[Sequence[tuple[int, AuditEvent]]], None]) -> None:
        """Call ``subscriber`` with (seq, event) of everything this process wrote, once it is durable.

        Called on the event loop that handed the events over, in the order of the log; it returns at
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
    async def integrate(self, *, origin: str, seen: SeenTree, limit: int = BATCH) -> tuple[Step, SeenTree]:
        """Give up to ``limit`` records that have no leaf their leaves, and say what the step was and the tree after it.

        ``log.integrator.take_step`` in one transaction that one process has at a time. Records of one transaction
        that is still under way get theirs with a later call, whatever their serial numbers. Where there was nothing to
        do, the step is empty and ``seen`` comes back as it was; while ``len(step.indexes) >= limit``, call again at
        once. Records of before this process that have no leaf, or were refused one, are looked through once with the
        first calls. After an ``alarm`` nothing was written. No record ever gets two leaves, no leaf two records.
        """

    @abstractmethod
    async def begin_log(self, origin: str, make: Callable[[TreeState | None], AuditEvent]) -> bool:
        """Begin a tree of another name beside those that there are: from then on it is the one that grows.

        Its first leaf is the record of the event that ``make`` returns for the tree that grew until now, all in one
        transaction. False, and nothing is changed, where there is or was a tree of this name.
        """

    @abstractmethod
    async def add_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
        """Keep a signed checkpoint for ever; of one that is there, with the same text, what it lacks of the signatures.

        False, and nothing is changed, where there is one of this size that says the same or something else.
        """

    @abstractmethod
    async def wait_for_audit(self, after: int, *, seconds: float) -> None:
        """Return when the log may have records above ``after``, from any process, or after ``seconds``.

        A spurious return is allowed; a missed one costs the caller no more than ``seconds``.
        """

    @abstractmethod
    async def purge(self, *, now: datetime, limit: int, clock_confirmed: bool = False) -> Purged:
        """Remove at most ``limit`` rows of each kind whose time is over.

        A record goes on the day after the ``keep_until`` of its entry (UTC), by this clock and by the database's own;
        its leaf stays, and a record without a leaf stays too. The record of an enrolment stays as long as its factor
        is enrolled, or a proof by it is kept. Prompts go an hour after they expired, tokens 30 days after theirs
        (until then a replay is known for what it is). Purges nothing and reports an anomaly when
        ``core.retention.clock_anomaly`` does not believe ``now``, unless a person ``clock_confirmed`` for it.
        """

    @abstractmethod
    async def claim_deliveries(
        self, topics: Sequence[Topic], *, now: datetime, until: datetime, limit: int
    ) -> tuple[Delivery, ...]:
        """Take up to ``limit`` alerts or notices that nobody holds at ``now``, and hold them ``until`` then.

        First those that were held longest ago, the oldest of these first. An event is there for each of its
        ``topics`` from the transaction that writes it, held for a minute by the process that wrote it. One that waited
        longer than ``DELIVERIES_STAY``, or whose record has no MAC of this installation, is dropped.
        """

    @abstractmethod
    async def settle_delivery(self, seq: int, topic: Topic, *, had: Sequence[str], over: bool) -> None:
        """Note which sinks of a topic have had an event, by their names; ``over``: all have, it is done with."""

    # policy

    @abstractmethod
    async def get_policy(self, workspace_id: str) -> StoredPolicy:
        """Return a workspace's policy; version 0 and no values when none was ever saved."""

    @abstractmethod
    async def set_policy(
        self, workspace_id: str, changes: Sequence[tuple[str, str]], events: Sequence[AuditEvent], *, now: datetime
    ) -> StoredPolicy:
        """Save requirements by purpose id together, advance the version by one, write the events with that version."""

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
        self,
        workspace_id: str,
        subject_id: str,
        factor: WebAuthnFactor,
        *,
        event: AuditEvent,
        begun: Enrolment | None = None,
    ) -> bool:
        """Add a credential. False, and nothing is changed, when its id is registered already, by anyone.

        ``begun`` is the enrolment that brought it. False as well when what that began on does not hold any more
        (``EnrolmentBasis.still_holds``), the right that it takes is gone, or it began as a first factor and the log
        says that there should be one: ``event`` names the factor, and so does that of its removal. An open pass and
        right of the person go with it, for they were for one factor. None asks for nothing: a program adds it.
        """

    @abstractmethod
    async def add_totp_factor(
        self,
        workspace_id: str,
        subject_id: str,
        factor: TOTPFactor,
        *,
        begun: Enrolment,
        event: AuditEvent,
    ) -> bool:
        """Add a confirmed secret and take its enrolment; ``factor.last_step`` is spent with it.
        False when the enrolment is gone, or ``last_time_step`` is as late: nothing is changed.
        ``begun`` as for ``add_webauthn_factor``. Clears the person's ``totp`` attempt bucket."""

    @abstractmethod
    async def import_factors(
        self, new: Sequence[NewFactor], *, had: Mapping[tuple[str, str], Set[str]] | None = None, dry_run: bool = False
    ) -> tuple[int, ...]:
        """Add factors of many people with their events, all in one transaction, or none of them.

        Returns the indexes of those whose credential id is registered already, by anyone: then, and with ``dry_run``,
        nothing is changed. ``had`` has the ids of the factors that each person was seen to have, by workspace and id:
        raises ``StoreError`` where somebody has another one by now, which nobody has compared with the new ones. One
        import waits for another. It may take as long as it needs, and other writers wait meanwhile where they have to.
        """

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
    async def reencrypt_secrets(self, limit: int, after: str, rewrite: Rewrite) -> str | None:
        """Rewrite up to ``limit`` factors after an id, their secrets and MACs; return the last id, None at the end.

        ``rewrite`` turns a secret encrypted under any key of the ring into one under the first; it is given the place
        that the secret is bound to: workspace, subject and id of the factor.
        """
