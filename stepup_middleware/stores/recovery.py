"""The contract of what takes the place of a person's factors: passes, recovery codes, holds, resets, and of people.

``base`` says what holds for every method. Rows that were written by somebody else do not count: a hold that was
altered closes for a day from now on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.recovery import (
    EnrolmentPass,
    EnrolmentRight,
    Hold,
    PassRefused,
    PeopleFilter,
    PeoplePage,
    Person,
    RecoveryCodes,
    ResetRequest,
)


class RecoveryRecords(ABC):
    """Keeps how people get factors that have none, and whom the library has met."""

    # enrolment passes, and what they open

    @abstractmethod
    async def issue_pass(self, new: EnrolmentPass, *, event: AuditEvent, proof: Proof | None = None) -> bool:
        """Keep a pass in the place of the person's last one. False, and nothing is changed, when they have a factor.

        ``proof`` is that of the admin who issues it. False, too, when the factor that they proved themselves with is
        theirs no more: of an act and a reset of who does it, one comes first.
        """

    @abstractmethod
    async def open_pass(self, workspace_id: str, subject_id: str) -> EnrolmentPass | None:
        """Return the person's last pass, whatever has become of it; None when there was none."""

    @abstractmethod
    async def take_pass(
        self, digest: bytes, *, right: EnrolmentRight, event: AuditEvent, now: datetime
    ) -> PassRefused | None:
        """Take the pass of the right's person and keep the right that it opens: once, whoever asks at the same time.

        A pass that ``core.recovery.refuse_pass`` refuses changes nothing, but that a wrong one is counted on the pass.
        """

    @abstractmethod
    async def enrolment_right(self, workspace_id: str, subject_id: str) -> EnrolmentRight | None:
        """Return the person's right to enrol a factor, over or not; None when there is none.

        The factor that is enrolled by it takes it away (``add_webauthn_factor``, ``add_totp_factor``).
        """

    # recovery codes

    @abstractmethod
    async def put_recovery_codes(self, codes: RecoveryCodes, *, event: AuditEvent) -> bool:
        """Keep a set of codes in the place of the one before. False, and nothing is changed, without any factor."""

    @abstractmethod
    async def recovery_codes(self, workspace_id: str, subject_id: str) -> RecoveryCodes | None:
        """Return the person's set of codes, None when there is none."""

    @abstractmethod
    async def use_recovery_code(
        self, set_id: str, number: int, *, right: EnrolmentRight, hold: Hold | None, bucket: str, event: AuditEvent
    ) -> bool:
        """Use a code of this set of the right's person: once, whoever uses it at the same time.

        Keeps the right and the hold (unless a longer one stands), and clears the attempt bucket. False, and nothing is
        changed, when the set is another one by now or the code was used.
        """

    # holds and resets

    @abstractmethod
    async def hold_of(self, workspace_id: str, subject_id: str, *, now: datetime) -> Hold | None:
        """Return the hold on a person that is not over, None when there is none."""

    @abstractmethod
    async def request_reset(self, request: ResetRequest, *, event: AuditEvent, proof: Proof | None = None) -> bool:
        """Keep a reset that another admin must confirm, in the place of an earlier one for the same person.

        False, and nothing is changed, when the factor of the ``proof`` is no more (``issue_pass``).
        """

    @abstractmethod
    async def reset_requests(self, workspace_id: str, *, now: datetime) -> tuple[ResetRequest, ...]:
        """Return the resets of a workspace that wait for another admin and are not over, oldest first."""

    @abstractmethod
    async def drop_reset_request(self, request: ResetRequest, *, event: AuditEvent) -> bool:
        """Take a reset back that waits. False, and nothing is changed, when it does not wait any more."""

    # people

    @abstractmethod
    async def note_person(self, workspace_id: str, person: Person) -> None:
        """Remember name and login of a person, in the place of those before."""

    @abstractmethod
    async def get_person(self, workspace_id: str, subject_id: str) -> Person | None:
        """Return a person that the library has met, None for anybody else."""

    @abstractmethod
    async def people(
        self, workspace_id: str, wanted: PeopleFilter, *, after: str | None = None, limit: int
    ) -> PeoplePage:
        """Return up to ``limit`` people of a workspace by name.

        ``after`` is the ``next`` of the page before. It comes from an address: what was never one is the beginning.
        """

    @abstractmethod
    async def count_people(self, workspace_id: str, wanted: PeopleFilter) -> int:
        """Count the people of a workspace that ``people`` lists."""
