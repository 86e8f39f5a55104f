"""Approved elsewhere, the person's side: they look at what a program asks, type its two digits, prove, or deny."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar, Unpack

from stepup_middleware.core.approvals import (
    Approval,
    ApprovalEnd,
    ApprovalState,
    Decider,
    EndReason,
    code_digest,
    read_code,
    read_digits,
)
from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.events import AuditEvent, EventFields, EventName
from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.prompts import PromptState, prompt_event
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.texts import marked
from stepup_middleware.errors import FailureReason
from stepup_middleware.stores.base import HotState

from .approval_watch import ApprovalWatch
from .ceremony import CeremonyService
from .ceremony_parts import NOT_FOUND
from .grants import IssuedToken
from .refusal_throttle import RefusalThrottle
from .requester import Requester

Done = TypeVar("Done")

ACTIONS_LOOKED_AT = 200  # of the newest authorized actions of a person, for the addresses from which they came
_NO_DIGITS = Refusal(
    code=RefusalCode.VERIFICATION_FAILED,
    detail=marked("Type both digits that the program shows. This did not count as an attempt."),
)
_WRONG_DIGITS = Refusal(
    code=RefusalCode.VERIFICATION_FAILED,
    detail=marked(
        "These are not the digits of this request. Compare them with the screen of the program that asks. If none of "
        "yours asks, deny it."
    ),
)
_DENIED = Refusal(code=RefusalCode.DENIED)
_OVER = marked("This is over, and nothing was done.")
_DECIDED = {
    ApprovalState.APPROVED: marked("This was approved already, and cannot be denied any more."),
    ApprovalState.DENIED: marked("This was denied already, and nothing was done."),
}
_PROVED = marked("This was confirmed already where it was asked, and cannot be decided here any more.")
BY_ACTOR = Refusal(
    code=RefusalCode.NOT_PERMITTED,
    detail=marked(
        "Only the person may approve or deny, never somebody or something on their behalf. Nothing was decided."
    ),
)


class ApprovingService:
    """What a person does with what waits for them. Every answer that is not a result is a ``Refusal``."""

    def __init__(
        self,
        *,
        store: HotState,
        ceremonies: CeremonyService,
        keys: Sequence[bytes],
        throttle: RefusalThrottle,
        watch: ApprovalWatch,
    ) -> None:
        self._store = store
        self._records = store.records
        self._ceremonies = ceremonies
        self._keys = tuple(keys)
        self._throttle = throttle
        self._watch = watch

    async def find(self, requester: Requester, code: str) -> Approval | Refusal:
        """Return what a link is for; one refusal where there is nothing for this person, which the log tells of."""
        if requester.subject.actor:
            return BY_ACTOR
        written = read_code(code)
        for key in self._keys if written is not None else ():
            for approval in await self._records.approvals_by_code(code_digest(key, written or "")):
                if approval.is_of(requester.subject):
                    return approval
                reason = FailureReason.WRONG_HOLDER.value
                event = requester.event(EventName.BLOCKED, prompt_id=approval.prompt.id, reason=reason, flags=(reason,))
                await self._throttle.log(requester.subject, event)
        return NOT_FOUND

    async def waiting(self, requester: Requester) -> tuple[Approval, ...] | Refusal:
        """Return what waits for a person, oldest first."""
        subject = requester.subject
        if subject.actor:
            return BY_ACTOR
        return await self._records.waiting_approvals(subject.workspace_id, subject.id, now=requester.now)

    async def known_addresses(self, requester: Requester) -> frozenset[str]:
        """Return from where a person acted of late: by what was authorized, not by who only asked."""
        subject = requester.subject
        wanted = AuditFilter(event=EventName.ACTION_AUTHORIZED, subject=subject.id)
        page = await self._records.audit_page(subject.workspace_id, wanted, before=None, limit=ACTIONS_LOOKED_AT)
        return frozenset(record.ip for record in page.events)

    async def match(self, requester: Requester, approval: Approval, digits: object) -> Approval | Refusal:
        """Tie an approval to this session by the digits of the program's screen."""
        read = read_digits(digits)
        if read is None:
            return _NO_DIGITS
        after = await self._records.match_approval(
            approval.prompt.id,
            read,
            decider=decider_of(requester),
            wrong=self._event(requester, approval, EventName.FAILED, reason=FailureReason.WRONG_DIGITS.value),
            denied=self._denied(requester, approval, EndReason.WRONG_DIGITS),
            now=requester.now,
        )
        if after is None:
            return await self._became(approval)
        self._watch.changed(after)
        if after.state is ApprovalState.DENIED:
            await self._store.cancel_prompt(approval.prompt.id, event=None, now=requester.now)
            return _DENIED
        return after if after.matched else _WRONG_DIGITS

    async def begin_webauthn(
        self, requester: Requester, approval: Approval, kind: FactorKind | None
    ) -> dict[str, Any] | Refusal:
        """Return the options of the ceremony by which this session approves."""
        begun = await self._ceremonies.begin_webauthn(
            requester, approval.prompt.id, kind, decider=decider_of(requester)
        )
        return await self._told(requester, approval, begun)

    async def finish_webauthn(
        self, requester: Requester, approval: Approval, response: object
    ) -> IssuedToken | Refusal:
        """Approve by an assertion. The token is the program's, and waits for it: the person is not given it."""
        done = await self._ceremonies.finish_webauthn(
            requester, approval.prompt.id, response, decider=decider_of(requester)
        )
        return await self._told(requester, approval, done)

    async def finish_totp(self, requester: Requester, approval: Approval, code: object) -> IssuedToken | Refusal:
        """Approve by a one-time password, as ``finish_webauthn``."""
        done = await self._ceremonies.finish_totp(requester, approval.prompt.id, code, decider=decider_of(requester))
        return await self._told(requester, approval, done)

    async def _told(self, requester: Requester, approval: Approval, done: Done) -> Done | Refusal:
        """Wake the program where it was approved, and where it cannot be any more: then it need not wait.

        That is so when a process has died with the prompt closed, before it was decided. Returns what the person is
        told: where it was decided meanwhile, how.
        """
        if not isinstance(done, Refusal):
            if isinstance(done, IssuedToken):
                self._watch.changed(approval)
            return done
        prompt_id, now = approval.prompt.id, requester.now
        if done is NOT_FOUND:
            stored = await self._store.get_prompt(prompt_id, now=now)
            if stored is None or stored.state is not PromptState.OPEN:
                end = ApprovalEnd(state=ApprovalState.CANCELLED, reason=EndReason.CANCELLED, at=now)
                if await self._records.end_approval(prompt_id, end, event=None):
                    self._watch.changed(approval)
        became = await self._became(approval)
        return done if became is NOT_FOUND else became

    async def _became(self, approval: Approval) -> Refusal:
        """Return what a person is told who comes too late, or to what they may not decide."""
        now = await self._records.get_approval(approval.prompt.id)
        if now is None or now.state is ApprovalState.WAITING:
            return NOT_FOUND
        words = _PROVED if now.reason is EndReason.PROVED else _DECIDED.get(now.state, _OVER)
        return replace(NOT_FOUND, detail=words)

    async def deny(self, requester: Requester, approval: Approval) -> Refusal | None:
        """Say no: the program is told, and its prompt serves nothing any more."""
        decider = decider_of(requester)
        end = ApprovalEnd(state=ApprovalState.DENIED, reason=EndReason.DENIED, at=requester.now, decider=decider)
        event = self._denied(requester, approval, EndReason.DENIED)
        if not await self._records.end_approval(approval.prompt.id, end, event=event):
            return await self._became(approval)
        self._watch.changed(approval)
        await self._store.cancel_prompt(approval.prompt.id, event=None, now=requester.now)
        return None

    def _denied(self, requester: Requester, approval: Approval, reason: EndReason) -> AuditEvent:
        where = decider_of(requester)
        told = {"session": where.session, "ip": where.ip, "user_agent": where.user_agent}
        return self._event(requester, approval, EventName.APPROVAL_DENIED, reason=reason.value, data={"approver": told})

    def _event(
        self, requester: Requester, approval: Approval, name: EventName, **fields: Unpack[EventFields]
    ) -> AuditEvent:
        purpose = self._ceremonies.purpose_of(approval.prompt)
        years = 1 if purpose is None else purpose.retention_years
        return prompt_event(approval.prompt, name, now=requester.now, retention_years=years, **fields)


def decider_of(requester: Requester) -> Decider:
    """Return where a person decides."""
    return Decider(session=requester.subject.session, ip=requester.ip, user_agent=requester.user_agent)
