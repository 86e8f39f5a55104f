"""Approved elsewhere, the program's side: it asks, waits, and is given its token, or takes its request back."""

from __future__ import annotations

import secrets
from asyncio import Lock
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from weakref import WeakValueDictionary

from stepup_middleware.core.approvals import (
    APPROVAL_LIFETIME,
    COLLECT_WITHIN,
    Approval,
    ApprovalEnd,
    ApprovalRefused,
    ApprovalState,
    EndReason,
    Offer,
    code_digest,
    new_code,
)
from stepup_middleware.core.decisions import Flag
from stepup_middleware.core.events import EventName
from stepup_middleware.core.moments import iso
from stepup_middleware.core.prompts import Prompt, PromptState, prompt_event
from stepup_middleware.core.proof import ActionRequest
from stepup_middleware.core.purposes import Catalogue, Purpose
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.tokens import TokenCodec
from stepup_middleware.errors import FailureReason
from stepup_middleware.stores.base import HotState

from .approval_watch import ApprovalWatch, of_prompt
from .grants import IssuedToken
from .notices import person_language
from .refusal_throttle import RefusalThrottle
from .requester import Requester

APPROVAL_SECONDS = APPROVAL_LIFETIME.total_seconds()
_NOT_FOUND = Refusal(code=RefusalCode.PROMPT_NOT_FOUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Nobody has decided yet; ``expires_at`` is until when somebody can."""

    expires_at: datetime


class ApprovalService:
    """Asks people for their approval on behalf of programs, and hands out what it brought."""

    def __init__(
        self,
        *,
        store: HotState,
        codec: TokenCodec,
        catalogue: Catalogue,
        keys: Sequence[bytes],
        throttle: RefusalThrottle,
    ) -> None:
        self._store = store
        self._records = store.records
        self._codec = codec
        self._catalogue = catalogue
        self._keys = tuple(keys)
        self._throttle = throttle
        self.watch = ApprovalWatch(self._records)
        self._locks: WeakValueDictionary[tuple[str, str], Lock] = WeakValueDictionary()

    # asking

    async def standing(self, requester: Requester, wanted: ActionRequest) -> tuple[Prompt, Offer] | None:
        """Return what waits already for the very same request of this session: it is asked for once.

        One that waits for a prompt that is over is ended, so that it stands in nobody's way.
        """
        subject = requester.subject
        waiting = await self._records.waiting_approvals(subject.workspace_id, subject.id, now=requester.now)
        for approval in waiting:
            prompt = approval.prompt
            if prompt.session != subject.session or prompt.purpose != wanted.purpose.id:
                continue
            stored = await self._store.get_prompt(prompt.id, now=requester.now)
            if stored is None or stored.state is not PromptState.OPEN:
                await self._end(approval, ApprovalState.CANCELLED, EndReason.CANCELLED, requester.now)
            elif approval.is_about(wanted, subject, requester.ip):
                return prompt, self._offer(approval)
        return None

    async def ask(self, requester: Requester, prompt: Prompt, purpose: Purpose) -> Offer | ApprovalRefused:
        """Ask the person of a new prompt to approve it, and return what the program shows them, or why not."""
        key = self._keys[0]
        approval = Approval(
            prompt=prompt,
            code=code_digest(key, new_code(key, prompt.id)),
            match=f"{secrets.randbelow(100):02}",
        )
        event = prompt_event(
            prompt,
            EventName.APPROVAL_REQUESTED,
            now=requester.now,
            retention_years=purpose.retention_years,
            data={"expires_at": iso(prompt.expires_at), "title": purpose.title, **person_language(requester)},
        )
        refused = await self._records.ask_approval(approval, event=event, now=requester.now)
        if refused is None:
            self.watch.changed(approval)
            return self._offer(approval)
        if refused is ApprovalRefused.TOO_MANY:
            blocked = prompt_event(
                prompt,
                EventName.BLOCKED,
                now=requester.now,
                retention_years=purpose.retention_years,
                reason=refused.value,
                flags=(refused.value,),
            )
            await self._throttle.log(requester.subject, blocked, of_person=True)
        return refused

    def code_of(self, approval: Approval) -> str:
        """Return the code of an approval, empty where the key is gone by which it was made."""
        codes = [(key, new_code(key, approval.prompt.id)) for key in self._keys]
        return next((code for key, code in codes if code_digest(key, code) == approval.code), "")

    def _offer(self, approval: Approval) -> Offer:
        prompt = approval.prompt
        return Offer(code=self.code_of(approval), match=approval.match, expires_at=prompt.expires_at)

    # waiting and collecting

    async def collect(self, requester: Requester, prompt_id: str) -> IssuedToken | Pending | Refusal:
        """Return the token of a prompt that was approved, the same one each time, or what has become of it.

        Only its own session at its own address is told. Raises ``StoreError``.
        """
        approval = await self._records.get_approval(prompt_id)
        if approval is None:
            return _NOT_FOUND
        prompt, subject = approval.prompt, requester.subject
        if not prompt.belongs_to(subject):
            reason = FailureReason.WRONG_HOLDER.value
            await self._throttle.log(
                subject, requester.event(EventName.BLOCKED, prompt_id=prompt_id, reason=reason, flags=(reason,))
            )
            return _NOT_FOUND
        if requester.ip != prompt.ip:
            await self._refused(requester, prompt, Flag.WRONG_IP.value)
            return Refusal(code=RefusalCode.IP_MISMATCH)
        purpose = self._catalogue.get(prompt.purpose)
        if approval.state is ApprovalState.DENIED:
            return Refusal(code=RefusalCode.DENIED, purpose=purpose)
        if approval.waits(requester.now):
            return Pending(expires_at=prompt.expires_at)
        if approval.token is None or purpose is None:
            return _NOT_FOUND
        end = await self._store.collect_token(approval.token, ttl=purpose.ttl, now=requester.now)
        if end is None:
            return _NOT_FOUND
        return IssuedToken(token=self._codec.write(approval.token), expires_at=end, prompt=prompt)

    @asynccontextmanager
    async def held(self, requester: Requester, wanted: ActionRequest) -> AsyncIterator[str | Refusal | None]:
        """Yield the token of what the person approved of this very request of this session, or their denial.

        None where they decided nothing that is not over. One caller at a time, so that requests which come at once do
        not present one token to each other's harm: the first redeems it, and the next finds none.
        """
        subject = requester.subject
        person = (subject.workspace_id, subject.id)
        lock = self._locks.get(person)
        if lock is None:
            lock = self._locks[person] = Lock()
        async with lock:
            answer: str | Refusal | None = None
            after = requester.now - COLLECT_WITHIN
            for approval in await self._records.decided_approvals(subject.workspace_id, subject.id, after=after):
                if not approval.is_about(wanted, subject, requester.ip):
                    continue
                found = await self.collect(requester, approval.prompt.id)
                if isinstance(found, IssuedToken):
                    answer = found.token
                elif approval.state is ApprovalState.DENIED:
                    answer = Refusal(code=RefusalCode.DENIED, purpose=wanted.purpose)
                break  # what came before the newest is over
            yield answer

    async def decided(
        self, subject: Subject, prompt_id: str, *, now: Callable[[], datetime], seconds: float = APPROVAL_SECONDS
    ) -> None:
        """Return once an approval waits no more, at once if it is none of this session, or too many are waited for.

        After so many seconds it returns all the same.
        """

        async def look() -> tuple[None, float]:
            approval = await self._records.get_approval(prompt_id)
            if approval is None or not approval.waits(now()) or not approval.prompt.belongs_to(subject):
                return None, 0
            return None, max(0.1, (approval.prompt.expires_at - now()).total_seconds())

        await self.watch.until(of_prompt(prompt_id), look, seconds)

    async def _refused(self, requester: Requester, prompt: Prompt, reason: str) -> None:
        purpose = self._catalogue.get(prompt.purpose)
        event = prompt_event(
            prompt,
            EventName.BLOCKED,
            now=requester.now,
            retention_years=1 if purpose is None else purpose.retention_years,
            ip=requester.ip,
            user_agent=requester.user_agent,
            reason=reason,
            flags=(reason,),
        )
        await self._throttle.log(requester.subject, event)

    # taking back

    async def withdraw(self, requester: Requester, prompt_id: str) -> None:
        """End what waits for a prompt that its own session has cancelled."""
        approval = await self._records.get_approval(prompt_id)
        if approval is not None and approval.prompt.belongs_to(requester.subject):
            await self._end(approval, ApprovalState.CANCELLED, EndReason.CANCELLED, requester.now)

    async def _end(self, approval: Approval, state: ApprovalState, reason: EndReason, now: datetime) -> None:
        end = ApprovalEnd(state=state, reason=reason, at=now)
        if await self._records.end_approval(approval.prompt.id, end, event=None):
            self.watch.changed(approval)

    # what the app asks

    async def waiting(self, subject: Subject, *, now: datetime) -> tuple[Approval, ...]:
        """Return the approvals that a person is asked for and that wait, oldest first."""
        return await self._records.waiting_approvals(subject.workspace_id, subject.id, now=now)
