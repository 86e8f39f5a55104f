"""The contract of approvals: prompts that a program asks, and that their person answers in a browser of theirs.

``base`` says what holds for every method. Rows that were written by somebody else do not count, and none of an epoch
that is over. Each change of an approval, its asking included, has a number that grows from one to the next over all
processes: who waits asks for what changed after the last one that they know. The end of an epoch is news as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime

from stepup_middleware.core.approvals import (
    Approval,
    ApprovalEnd,
    ApprovalMark,
    ApprovalNews,
    ApprovalRefused,
    Decider,
)
from stepup_middleware.core.events import AuditEvent


class ApprovalRecords(ABC):
    """Keeps approvals. ``HotState.issue_token`` approves one, ``HotState.collect_token`` hands out what it brought."""

    @abstractmethod
    async def ask_approval(self, new: Approval, *, event: AuditEvent, now: datetime) -> ApprovalRefused | None:
        """Keep a new approval and write its event, unless ``core.approvals.refuse_approval`` refuses it.

        Then nothing is changed. The limits hold over all sessions and processes, also of those that ask at once.
        """

    @abstractmethod
    async def get_approval(self, prompt_id: str) -> Approval | None:
        """Return the approval of a prompt, whatever has become of it; None when there is none."""

    @abstractmethod
    async def approvals_by_code(self, code: bytes) -> tuple[Approval, ...]:
        """Return the approvals whose code has this digest, whosever they are: one, but for a coincidence."""

    @abstractmethod
    async def waiting_approvals(self, workspace_id: str, subject_id: str, *, now: datetime) -> tuple[Approval, ...]:
        """Return the approvals of a person that wait and are not over, oldest first."""

    @abstractmethod
    async def decided_approvals(self, workspace_id: str, subject_id: str, *, after: datetime) -> tuple[Approval, ...]:
        """Return the approvals of a person that they approved or denied after a moment, the newest first."""

    @abstractmethod
    async def match_approval(
        self, prompt_id: str, digits: str, *, decider: Decider, wrong: AuditEvent, denied: AuditEvent, now: datetime
    ) -> Approval | None:
        """Compare the digits that somebody typed, and return what has become of the approval.

        ``core.approvals.with_digits`` says what. Wrong digits write the event ``wrong``, the last wrong ones ``denied``
        instead. None, and nothing is changed, when it does not wait.
        """

    @abstractmethod
    async def end_approval(self, prompt_id: str, end: ApprovalEnd, *, event: AuditEvent | None) -> bool:
        """Deny or cancel an approval that waits. False, and nothing is changed, when it does not wait any more."""

    @abstractmethod
    async def end_approvals_of_session(
        self, workspace_id: str, subject_id: str, session: str, end: ApprovalEnd
    ) -> None:
        """Cancel what a session asked for, and everybody who acts in it, and nobody has decided."""

    @abstractmethod
    async def approval_news(self, *, after: ApprovalMark | None, limit: int) -> ApprovalNews:
        """Return up to ``limit`` changes after a mark, by their numbers, of each approval its last one alone.

        The mark in the answer is where the next question begins. None: nothing but where that is now. The same where
        the epoch of ``after`` is over: every approval of it is, and its numbers mean nothing any more.
        """
