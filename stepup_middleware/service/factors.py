"""A person's factors: list, rename, remove. To remove one takes a step-up, for which the caller asks first."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from stepup_middleware.core.canonical import storable
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import (
    EnrolledFactor,
    Factor,
    FactorKind,
    FactorRequirement,
    may_remove,
)
from stepup_middleware.core.policy import effective_requirement
from stepup_middleware.core.purposes import Catalogue, Purpose
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.texts import marked
from stepup_middleware.stores.base import HotState

from .admin import AdminGuard
from .notices import person_language
from .recovery_rules import RecoveryRules
from .requester import Requester
from .resets import FactorResets

NAME_LENGTH = 80

BY_ACTOR = Refusal(
    code=RefusalCode.NOT_PERMITTED,
    detail=marked(
        "Only the person may change their factors, never somebody or something on their behalf. Nothing was changed."
    ),
)
_LAST_KEY = marked("This is your last passkey or hardware key. Enrol another one first, then remove this one.")
_LAST_FACTOR = marked("This is your last factor. Enrol another one first, then remove this one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PurposeStanding:
    """A ``purpose`` as it is for one person.

    ``requirement`` is what the policy in effect asks for, ``satisfied`` whether a factor of theirs meets it and no
    hold is on it.
    """

    purpose: Purpose
    requirement: FactorRequirement
    satisfied: bool


class FactorService(FactorResets):
    """Keeps factors. Every answer that is not a result is a ``Refusal``."""

    def __init__(self, *, store: HotState, catalogue: Catalogue, guard: AdminGuard, rules: RecoveryRules) -> None:
        super().__init__(store=store, catalogue=catalogue, guard=guard, rules=rules)
        self._store = store.records
        self._catalogue = catalogue

    async def list(self, subject: Subject) -> tuple[Factor, ...]:
        """Return a person's enrolled factors, oldest first."""
        return await self._store.list_factors(subject.workspace_id, subject.id)

    async def user_handle(self, subject: Subject) -> bytes:
        """Return the WebAuthn user handle of a person here, 64 random bytes that say nothing of them."""
        return await self._store.user_handle(subject.workspace_id, subject.id, fresh=secrets.token_bytes(64))

    async def standing(self, subject: Subject) -> tuple[PurposeStanding, ...]:
        """Return the catalogue as it is for this person: for a page, before it shows a button."""
        policy = await self._store.get_policy(subject.workspace_id)
        kinds = {factor.kind for factor in await self.list(subject)}
        now = self._guard.clock()
        hold = await self._store.hold_of(subject.workspace_id, subject.id, now=now)
        return tuple(
            PurposeStanding(
                purpose=purpose,
                requirement=(requirement := effective_requirement(purpose, policy)),
                satisfied=any(requirement.accepts(kind) for kind in kinds)
                and not (hold is not None and hold.closes(purpose, now)),
            )
            for purpose in self._catalogue.values()
        )

    async def rename(self, requester: Requester, factor_id: str, name: object) -> Factor | Refusal:
        """Rename a person's own factor. It takes no proof, so that nobody does it on their behalf."""
        subject = requester.subject
        if subject.actor:
            return BY_ACTOR
        factor = await self._own(subject, factor_id)
        if factor is None:
            return Refusal(code=RefusalCode.FACTOR_NOT_FOUND)
        renamed = replace(factor, name=factor_name(name, factor.kind))
        done = await self._store.rename_factor(subject.workspace_id, subject.id, factor_id, renamed.name)
        return renamed if done else Refusal(code=RefusalCode.FACTOR_NOT_FOUND)

    async def removable(self, subject: Subject, factor_id: str) -> Factor | Refusal:
        """Return a factor that a person themselves may remove (``core.factors.may_remove``), or the refusal."""
        if subject.actor:
            return BY_ACTOR
        factors = await self.list(subject)
        factor = next((each for each in factors if each.id == factor_id), None)
        if factor is None:
            return Refusal(code=RefusalCode.FACTOR_NOT_FOUND)
        if not may_remove([EnrolledFactor(each.id, each.kind) for each in factors], factor_id):
            return Refusal(
                code=RefusalCode.FACTOR_CONFLICT,
                detail=_LAST_KEY if factor.kind.phishing_resistant else _LAST_FACTOR,
            )
        return factor

    async def remove(self, requester: Requester, factor_id: str) -> Refusal | None:
        """Remove a person's own factor. Proofs of it that nobody redeemed are worthless from then on."""
        subject = requester.subject
        factor = await self.removable(subject, factor_id)
        if isinstance(factor, Refusal):
            return factor
        event = requester.event(
            EventName.FACTOR_REMOVED,
            factor_kind=factor.kind,
            factor_id=factor.id,
            retention_years=self._catalogue.factor_retention_years,
            data={**person_language(requester), "name": factor.name},
        )
        removed = await self._store.remove_factor(
            subject.workspace_id, subject.id, factor_id, event=event, now=requester.now, only_spare=True
        )
        if removed:
            return None
        overtaken = await self.removable(subject, factor_id)  # by another removal, since it was looked at
        return overtaken if isinstance(overtaken, Refusal) else Refusal(code=RefusalCode.FACTOR_NOT_FOUND)

    async def _own(self, subject: Subject, factor_id: str) -> Factor | None:
        return next((factor for factor in await self.list(subject) if factor.id == factor_id), None)


def factor_name(name: object, kind: FactorKind) -> str:
    """Return the name that a person gave, as it can be kept and shown; without one, the kind's."""
    text = storable(name, NAME_LENGTH).strip() if isinstance(name, str) else ""
    return "".join(character for character in text if character.isprintable()) or kind.label
