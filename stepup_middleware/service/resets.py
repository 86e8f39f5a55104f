"""What admins do for people without factors: issue an enrolment pass, and reset what they have.

An admin acts by a proof of their own (``FACTORS_RESET``, ``ENROLMENT_PASS``), whose details name the person and the
reason: each verb asks for it. Nobody does it for themselves. An operator acts on the host, where whoever may run a
program decides.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from stepup_middleware.core.binding import Details
from stepup_middleware.core.canonical import storable
from stepup_middleware.core.events import AuditEvent, EventName, event_by
from stepup_middleware.core.moments import iso
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.purposes import ENROLMENT_PASS, FACTORS_RESET, Catalogue, Purpose
from stepup_middleware.core.recovery import (
    LONGEST_PASS,
    LONGEST_REASON,
    PASS_BITS,
    PASS_LIFETIME,
    RESET_REQUEST_LIFETIME,
    EnrolmentPass,
    FactorsReset,
    Person,
    ResetRequest,
    pass_digest,
    written_secret,
)
from stepup_middleware.core.subject import Subject, SubjectAt
from stepup_middleware.core.texts import marked
from stepup_middleware.errors import NotPermitted
from stepup_middleware.stores.base import HotState

from .admin import AdminGuard
from .people import PeopleListing, named
from .recovery_rules import RecoveryRules
from .requester import Scope

_NOT_ONESELF = marked("Nobody does this for themselves. Ask another admin, or whoever runs the server.")
_OTHER_WORKSPACE = "This person is of another workspace. Nothing was done."
_NO_REASON = marked("Say whose, and why, in 1 to 200 characters. The log keeps it, and the person is told.")
_HAS_FACTORS = marked(
    "This person has a factor, so that no pass is needed: they add further ones themselves. If it is lost, reset their "
    "factors."
)
_NO_PASSES = marked(
    "People here enrol their first factor after a fresh sign-in, so that no pass is needed. Nothing was done."
)
_GONE = marked("This reset does not wait any more: it was done, taken back, or has expired. Nothing was done.")
_PROVED_BY_NONE = marked("The factor that you confirmed this with was removed meanwhile. Nothing was done.")
_SAME_ADMIN = marked("A reset needs two admins: another one confirms yours. Nothing was done.")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedPass:
    """An enrolment pass fresh from its issue: ``secret`` is shown once and in no ``repr``."""

    id: str
    person: Person
    secret: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetOutcome:
    """How a reset went: ``waits`` is what another admin must confirm, ``issued`` the pass that it brought."""

    waits: ResetRequest | None = None
    issued: IssuedPass | None = None


class FactorResets(PeopleListing):
    """Issues passes and resets factors. ``NotPermitted`` has a sentence as its ``reason``, and nothing was done."""

    def __init__(self, *, store: HotState, catalogue: Catalogue, guard: AdminGuard, rules: RecoveryRules) -> None:
        super().__init__(store=store.records, catalogue=catalogue, guard=guard)
        self._hot = store
        self.rules = rules

    async def issue_pass(
        self,
        workspace_id: str,
        subject_id: str,
        *,
        by: Subject | str,
        reason: str,
        scope: Scope | None = None,
        token: str | bytes | None = None,
        lifetime: timedelta = PASS_LIFETIME,
    ) -> IssuedPass:
        """Issue an enrolment pass for a person who has no factor, in the place of an earlier one.

        ``by`` is the admin who is signed in at the request whose ``scope`` it is. They are asked for a step-up that
        names the person and the reason: ``StepUpRequired`` is raised, which the middleware answers, and nothing is done
        until the request comes again with the proof. Let it pass, as that of ``require_step_up``; ``token`` answers a
        further question of one request. Or ``by`` names an operator or a program of the host, which decides by itself:
        never give it what a request says. ``lifetime`` is at most seven days.
        """
        text = await self._checked(workspace_id, subject_id, by, reason, scope, "issue_pass")
        if not self.rules.first_factor.takes_pass:
            raise NotPermitted(_NO_PASSES)
        if await self._records.list_factors(workspace_id, subject_id):
            raise NotPermitted(_HAS_FACTORS)
        person = await self.person(workspace_id, subject_id)
        proof = await self._proof(by, ENROLMENT_PASS, person, text, scope, token)
        new, issued = self._new_pass(workspace_id, person, by, lifetime)
        event = self._event(by, scope, EventName.ENROLMENT_PASS_ISSUED, workspace_id, issued.person, text, proof)
        event = _with(event, {"pass": new.id, "expires_at": iso(new.expires_at)})
        if not await self._records.issue_pass(new, event=event, proof=proof):
            await self._check_still_proved(proof)
            raise NotPermitted(_HAS_FACTORS)
        return issued

    async def reset(
        self,
        workspace_id: str,
        subject_id: str,
        *,
        by: Subject | str,
        reason: str,
        with_pass: bool = False,
        scope: Scope | None = None,
        token: str | bytes | None = None,
        lifetime: timedelta = PASS_LIFETIME,
    ) -> ResetOutcome:
        """Take all factors and recovery codes of a person away, end their prompts and tokens, and begin the hold.

        ``by``, ``scope`` and ``token`` as for ``issue_pass``. ``with_pass`` hands out a pass. With ``reset_needs_two``
        an admin's reset waits for another one (``confirm_reset``); an operator's does not.
        """
        text = await self._checked(workspace_id, subject_id, by, reason, scope, "reset_factors")
        if with_pass and not self.rules.first_factor.takes_pass:
            raise NotPermitted(_NO_PASSES)
        proof = await self._proof(by, FACTORS_RESET, await self.person(workspace_id, subject_id), text, scope, token)
        if self.rules.reset_needs_two and isinstance(by, Subject):
            return await self._request(workspace_id, subject_id, by, text, proof, scope, with_pass=with_pass)
        return await self._reset(workspace_id, subject_id, by, text, proof, scope, lifetime, with_pass=with_pass)

    async def confirm_reset(
        self,
        request_id: str,
        *,
        by: Subject,
        scope: Scope,
        token: str | bytes | None = None,
        lifetime: timedelta = PASS_LIFETIME,
    ) -> ResetOutcome:
        """Do a reset that another admin asked for, by a step-up of one's own. The rest is as for ``issue_pass``."""
        request = await self._waiting(by.workspace_id, request_id)
        await self._checked(by.workspace_id, request.subject_id, by, request.reason, scope, "reset_factors")
        if request.requested_by == by.id:
            raise NotPermitted(_SAME_ADMIN)
        person = await self.person(by.workspace_id, request.subject_id)
        first = Person(subject_id=request.requested_by, name=request.requested_by_name)
        proof = await self._proof(by, FACTORS_RESET, person, request.reason, scope, token, first=first)
        return await self._reset(
            request.workspace_id, request.subject_id, by, request.reason, proof, scope, lifetime,
            with_pass=request.with_pass, request=request,
        )  # fmt: skip

    async def withdraw_reset(self, request_id: str, *, by: Subject, scope: Scope | None = None) -> None:
        """Take back a reset that waits: any admin may, the one who asked too."""
        who = self._guard.at(by, scope)
        await self._guard.check(who, "reset_factors")
        request = await self._waiting(by.workspace_id, request_id)
        person = Person(subject_id=request.subject_id, name=request.subject_name)
        name = EventName.FACTORS_RESET_REQUESTED
        event = self._event(by, scope, name, request.workspace_id, person, request.reason, None)
        if not await self._records.drop_reset_request(request, event=_with(event, {"withdrawn": True})):
            raise NotPermitted(_GONE)

    async def reset_requests(self, by: Subject, *, scope: Scope | None = None) -> tuple[ResetRequest, ...]:
        """Return the resets of a workspace that wait for another admin, oldest first."""
        await self._guard.check(self._guard.at(by, scope), "people")
        return await self._records.reset_requests(by.workspace_id, now=self._guard.clock())

    # the parts

    async def _checked(
        self, workspace_id: str, subject_id: str, by: Subject | str, reason: object, scope: Scope | None, wanted: str
    ) -> str:
        """Return the reason in the form in which it is kept, where this may be done at all. Raises ``NotPermitted``."""
        if isinstance(by, Subject):
            who = self._guard.at(by, scope)
            await self._guard.check(who, wanted)
            if by.workspace_id != workspace_id:
                raise NotPermitted(_OTHER_WORKSPACE)
            if by.id == subject_id:
                await self._guard.refuse(who, wanted, "oneself")
                raise NotPermitted(_NOT_ONESELF)
        if not subject_id or storable(subject_id, 512) != subject_id:
            raise NotPermitted(_NO_REASON)
        text = " ".join(storable(reason, LONGEST_REASON + 1).split()) if isinstance(reason, str) else ""
        if not text or len(text) > LONGEST_REASON or not text.isprintable():
            raise NotPermitted(_NO_REASON)
        return text

    async def _proof(
        self,
        by: Subject | str,
        purpose: Purpose,
        person: Person,
        reason: str,
        scope: Scope | None,
        token: str | bytes | None,
        *,
        first: Person | None = None,
    ) -> Proof | None:
        """Return the admin's proof of this very thing, None for an operator, of whom none is asked.

        ``first`` is the admin who asked for the reset, where another one confirms it.
        """
        if isinstance(by, str):
            return None

        def words(say: Callable[[str], str]) -> Details:
            details = ((say(marked("Person")), named(person)), (say(marked("Reason")), reason))
            return details if first is None else (*details, (say(marked("Asked for by")), named(first)))

        return await self._guard.prove(by, scope, purpose, words, token)

    async def _waiting(self, workspace_id: str, request_id: str) -> ResetRequest:
        waiting = await self._records.reset_requests(workspace_id, now=self._guard.clock())
        found = next((request for request in waiting if request.id == request_id), None)
        if found is None:
            raise NotPermitted(_GONE)
        return found

    def _new_pass(
        self, workspace_id: str, person: Person, by: Subject | str, lifetime: timedelta
    ) -> tuple[EnrolmentPass, IssuedPass]:
        if not timedelta(minutes=1) <= lifetime <= LONGEST_PASS:
            raise ValueError("a pass lives for a minute at least, and for seven days at most")
        secret, now = written_secret(secrets.randbits(PASS_BITS), PASS_BITS), self._guard.clock()
        new = EnrolmentPass(
            id=secrets.token_urlsafe(12),
            workspace_id=workspace_id,
            subject_id=person.subject_id,
            digest=pass_digest(secret.replace("-", "")),
            issued_at=now,
            issued_by=by if isinstance(by, str) else by.id,
            expires_at=now + lifetime,
        )
        return new, IssuedPass(id=new.id, person=person, secret=secret, expires_at=new.expires_at)

    async def _request(
        self,
        workspace_id: str,
        subject_id: str,
        by: Subject,
        reason: str,
        proof: Proof | None,
        scope: Scope | None,
        *,
        with_pass: bool,
    ) -> ResetOutcome:
        person, now = await self.person(workspace_id, subject_id), self._guard.clock()
        request = ResetRequest(
            id=secrets.token_urlsafe(12),
            workspace_id=workspace_id,
            subject_id=subject_id,
            subject_name=person.name or person.login,
            reason=reason,
            requested_by=by.id,
            requested_by_name=by.name,
            requested_at=now,
            expires_at=now + RESET_REQUEST_LIFETIME,
            with_pass=with_pass,
        )
        event = self._event(by, scope, EventName.FACTORS_RESET_REQUESTED, workspace_id, person, reason, proof)
        if not await self._records.request_reset(request, event=_with(event, {"request": request.id}), proof=proof):
            raise NotPermitted(_PROVED_BY_NONE)
        return ResetOutcome(waits=request)

    async def _reset(
        self,
        workspace_id: str,
        subject_id: str,
        by: Subject | str,
        reason: str,
        proof: Proof | None,
        scope: Scope | None,
        lifetime: timedelta,
        *,
        with_pass: bool,
        request: ResetRequest | None = None,
    ) -> ResetOutcome:
        person, now = await self.person(workspace_id, subject_id), self._guard.clock()
        factors = await self._records.list_factors(workspace_id, subject_id)
        hold = self.rules.hold(workspace_id, subject_id, now)
        new, issued = None, None
        if with_pass:
            new, issued = self._new_pass(workspace_id, person, by, lifetime)
        reset = self._event(by, scope, EventName.FACTORS_RESET, workspace_id, person, reason, proof)
        data: dict[str, object] = {
            "factors": [{"id": factor.id, "kind": factor.kind.value, "name": factor.name} for factor in factors],
            "hold_until": None if hold is None else iso(hold.until),
        }
        if request is not None:
            data |= {"request": request.id, "requested_by": request.requested_by}
        events = [_with(reset, data)]
        if new is not None:
            told = self._event(by, scope, EventName.ENROLMENT_PASS_ISSUED, workspace_id, person, reason, proof)
            events.append(_with(told, {"pass": new.id, "expires_at": iso(new.expires_at)}))
        wanted = FactorsReset(
            workspace_id=workspace_id, subject_id=subject_id, hold=hold, new_pass=new, request=request, proof=proof
        )
        if not await self._hot.reset_factors(wanted, events, now=now):
            await self._check_still_proved(proof)
            raise NotPermitted(_GONE)
        return ResetOutcome(issued=issued)

    async def _check_still_proved(self, proof: Proof | None) -> None:
        """Raise ``NotPermitted`` where the factor that an admin has just proved themselves with is theirs no more."""
        if proof is not None:
            factors = await self._records.list_factors(proof.workspace_id, proof.subject_id)
            if all(factor.id != proof.factor_id for factor in factors):
                raise NotPermitted(_PROVED_BY_NONE)

    def _event(
        self,
        by: Subject | str,
        scope: Scope | None,
        name: EventName,
        workspace_id: str,
        person: Person,
        reason: str,
        proof: Proof | None,
    ) -> AuditEvent:
        """Return an event by whoever acts, about a person. ``prompt_id`` leads to the proof."""
        at, data = self._guard.clock(), {"person": person.subject_id, "person_name": person.name, "why": reason}
        fields: dict[str, Any] = {"at": at, "retention_years": self._purposes.factor_retention_years}
        if isinstance(by, str):
            return AuditEvent(
                name=name, workspace_id=workspace_id, subject_id="", data={**data, "operator": by}, **fields
            )
        who: SubjectAt = self._guard.at(by, scope)
        return event_by(who, name, prompt_id="" if proof is None else proof.prompt_id, data=data, **fields)


def _with(event: AuditEvent, data: dict[str, object]) -> AuditEvent:
    return replace(event, data={**event.data, **data})
