"""The people whom the library has met, for admins: their factors, and which purposes these do not meet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from stepup_middleware.core.factors import Factor
from stepup_middleware.core.policy import effective_requirement
from stepup_middleware.core.purposes import Catalogue, Purpose
from stepup_middleware.core.recovery import Hold, PeopleFilter, Person
from stepup_middleware.core.subject import Subject
from stepup_middleware.stores.records import Records

from .admin import AdminGuard
from .requester import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonStanding:
    """A person with their factors, the purposes that these do not meet, and the hold on them."""

    person: Person
    factors: tuple[Factor, ...]
    closed: tuple[Purpose, ...]
    hold: Hold | None


def named(person: Person) -> str:
    """Return a person as a proof and the log name them: by the name, and always by the id."""
    known = person.name or person.login
    return f"{known} ({person.subject_id})" if known and known != person.subject_id else person.subject_id


class PeopleListing:
    """Lists people for admins."""

    def __init__(self, *, store: Records, catalogue: Catalogue, guard: AdminGuard) -> None:
        self._records = store
        self._purposes = catalogue
        self._guard = guard

    async def person(self, workspace_id: str, subject_id: str) -> Person:
        """Return a person by their id, whether the library has met them or not."""
        return await self._records.get_person(workspace_id, subject_id) or Person(subject_id=subject_id)

    async def people(
        self,
        by: Subject,
        *,
        scope: Scope | None = None,
        text: str = "",
        purpose: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> tuple[tuple[PersonStanding, ...], str | None]:
        """Return people of the admin's workspace by name, and what the page after them is asked for by.

        ``text`` is any part of a name, login or id. ``purpose``: only those whose factors do not meet it.
        """
        await self._guard.check(self._guard.at(by, scope), "people")
        policy = await self._records.get_policy(by.workspace_id)
        wanted = self._purposes.get(purpose or "")
        lacking = None if wanted is None else effective_requirement(wanted, policy)
        found = await self._records.people(
            by.workspace_id, PeopleFilter(text=text, lacking=lacking), after=after, limit=limit
        )
        requirements = {each: effective_requirement(each, policy) for each in self._purposes.values()}

        async def standing(person: Person) -> PersonStanding:
            factors = await self._records.list_factors(by.workspace_id, person.subject_id)
            closed = [
                each
                for each, requirement in requirements.items()
                if not any(requirement.accepts(factor.kind) for factor in factors)
            ]
            hold = await self._records.hold_of(by.workspace_id, person.subject_id, now=self._guard.clock())
            return PersonStanding(person=person, factors=factors, closed=tuple(closed), hold=hold)

        return tuple(await asyncio.gather(*map(standing, found.people))), found.next
