"""The policy service: read a workspace's policy, and let its admins change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stepup_middleware.core.binding import MAX_DETAILS, Details
from stepup_middleware.core.events import AuditEvent, EventName, event_by
from stepup_middleware.core.factors import FactorRequirement
from stepup_middleware.core.policy import (
    PurposePolicy,
    StoredPolicy,
    check_policy_write,
    effective_requirement,
)
from stepup_middleware.core.purposes import POLICY_LOOSEN, Catalogue, Purpose
from stepup_middleware.core.recovery import PeopleFilter, Person
from stepup_middleware.core.subject import Subject, SubjectAt
from stepup_middleware.core.texts import marked
from stepup_middleware.errors import PolicyError
from stepup_middleware.stores.records import Records

from .admin import AdminGuard
from .refusal_throttle import RefusalThrottle
from .requester import Scope

_LOOSENED = marked("from phishing-resistant only to any factor")  # there are two requirements, so it can only be this


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutOut:
    """Whom a stricter policy would shut out: the ``purposes`` that get stricter, and how many people (``count``).

    ``people`` are some of them by name, each with ``subject_id``, ``name`` and ``login``; ``next`` is the cursor of the
    next page, None at the end.
    """

    purposes: tuple[Purpose, ...]
    count: int
    people: tuple[Person, ...]
    next: str | None


class PolicyService:
    """Reads and sets policies. A saved policy holds from the next prompt on."""

    def __init__(self, *, store: Records, catalogue: Catalogue, guard: AdminGuard, throttle: RefusalThrottle) -> None:
        self._store = store
        self._throttle = throttle
        self._catalogue = catalogue
        self._guard = guard

    async def current(self, workspace_id: str) -> tuple[PurposePolicy, ...]:
        """Return every purpose of the catalogue, in order, with the requirement in effect."""
        return self._view(await self._store.get_policy(workspace_id))

    def _view(self, policy: StoredPolicy) -> tuple[PurposePolicy, ...]:
        return tuple(
            PurposePolicy(purpose=purpose, requirement=effective_requirement(purpose, policy))
            for purpose in self._catalogue.values()
        )

    async def set(
        self,
        subject: Subject,
        purpose_id: str,
        requirement: str,
        *,
        scope: Scope | None = None,
        token: str | bytes | None = None,
    ) -> PurposePolicy:
        """Save one requirement. See ``set_many``."""
        saved = await self.set_many(subject, {purpose_id: requirement}, scope=scope, token=token)
        return next(entry for entry in saved if entry.purpose.id == purpose_id)

    async def set_many(
        self,
        subject: Subject,
        wanted: Mapping[str, str],
        *,
        scope: Scope | None = None,
        token: str | bytes | None = None,
    ) -> tuple[PurposePolicy, ...]:
        """Save requirements by purpose id, all of them or none, and log each change from what to what.

        ``scope`` is that of the request by which the admin asks: the log has its address and browser. Where any
        requirement gets weaker, the admin is asked for a step-up that names each: ``StepUpRequired`` is raised, which
        the middleware answers, and nothing is saved until the request comes again with the proof. Let it pass, as that
        of ``require_step_up``; ``token`` answers a further question of one request. Without a scope, as in a script,
        policies are only tightened.

        ``PolicyError`` with a sentence for the admin: not an admin, an unknown purpose, or a requirement
        below the platform's minimum. A refused write is logged as ``ACCOUNT_STEPUP_BLOCKED``. ``NotPermitted`` when the
        request's address is not known, or a step-up cannot be asked for.
        """
        who = self._guard.at(subject, scope)
        before = await self._store.get_policy(subject.workspace_id)
        changes: list[tuple[Purpose, FactorRequirement]] = []
        for purpose_id, requirement in wanted.items():
            purpose = self._catalogue.get(purpose_id)
            try:
                if not subject.is_admin:
                    raise PolicyError(marked("Only an admin of the workspace may change the step-up policy."))
                if purpose is None:
                    raise PolicyError(marked("There is no such purpose in the catalogue."))
                checked = check_policy_write(purpose, requirement)
            except PolicyError as error:
                await self._throttle.log(subject, self._refused(who, purpose_id, requirement, error))
                raise
            current = effective_requirement(purpose, before)
            if checked is current:
                continue
            changes.append((purpose, checked))
        if not changes:
            return self._view(before)
        loosened = [purpose for purpose, checked in changes if checked is FactorRequirement.ANY]
        proved = await self._proof_of_loosening(subject, loosened, scope, token)
        now = self._guard.clock()
        events = [
            event_by(
                who,
                EventName.POLICY_CHANGED,
                at=now,
                purpose=purpose.id,
                prompt_id=proved if purpose in loosened else "",
                data={"from": effective_requirement(purpose, before).value, "to": checked.value},
            )
            for purpose, checked in changes
        ]
        values = [(purpose.id, checked.value) for purpose, checked in changes]
        return self._view(await self._store.set_policy(subject.workspace_id, values, events, now=now))

    async def _proof_of_loosening(
        self, subject: Subject, loosened: Sequence[Purpose], scope: Scope | None, token: str | bytes | None
    ) -> str:
        """Return the id of the prompt by which the admin proved these very changes, empty where none is weaker."""
        if not loosened:
            return ""
        if len(loosened) > MAX_DETAILS:
            raise PolicyError(f"At most {MAX_DETAILS} purposes can be loosened at a time. Nothing was saved.")

        def words(say: Callable[[str], str]) -> Details:
            return tuple((say(purpose.title), say(_LOOSENED)) for purpose in loosened)

        return (await self._guard.prove(subject, scope, POLICY_LOOSEN, words, token)).prompt_id

    async def shut_out(
        self,
        subject: Subject,
        wanted: Mapping[str, str],
        *,
        scope: Scope | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> ShutOut:
        """Return whom requirements would shut out that are about to be saved: ask before ``set_many``, and say so.

        They are the people with factors of whom none meets a requirement that gets stricter; nobody where none does.
        ``after`` is the ``next`` of the page before. Raises ``NotPermitted`` for anybody but an admin.
        """
        await self._guard.check(self._guard.at(subject, scope), "policy_consequence")
        before = await self._store.get_policy(subject.workspace_id)
        stricter = [
            purpose
            for purpose_id, requirement in wanted.items()
            if (purpose := self._catalogue.get(purpose_id)) is not None
            and requirement == FactorRequirement.PHISHING_RESISTANT
            and effective_requirement(purpose, before) is FactorRequirement.ANY
        ]
        if not stricter:
            return ShutOut(purposes=(), count=0, people=(), next=None)
        filter_ = PeopleFilter(lacking=FactorRequirement.PHISHING_RESISTANT, enrolled=True)
        count = await self._store.count_people(subject.workspace_id, filter_)
        page = await self._store.people(subject.workspace_id, filter_, after=after, limit=max(1, min(limit, 200)))
        return ShutOut(purposes=tuple(stricter), count=count, people=tuple(page.people), next=page.next)

    def _refused(self, who: SubjectAt, purpose_id: str, requirement: str, error: PolicyError) -> AuditEvent:
        known = purpose_id if purpose_id in self._catalogue else ""
        reason = "not_an_admin" if not who.subject.is_admin else "policy_write_refused"
        return event_by(
            who,
            EventName.BLOCKED,
            at=self._guard.clock(),
            purpose=known,
            reason=reason,
            flags=(reason,),
            data={"wanted": str(requirement)[:40], "why": error.reason},
        )
