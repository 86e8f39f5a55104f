"""Factors that are imported: those of many people in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import TypeVar

from stepup_middleware.core.factors import WebAuthnFactor
from stepup_middleware.core.recovery import Person
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.records import NewFactor
from stepup_middleware.stores.rows import factor_row
from stepup_middleware.stores.sealing import sealed_factor

from .enrolled import enrolled
from .recovery import note_person, spend_right
from .transaction import Transaction

T = TypeVar("T")
Whose = tuple[str, str]  # workspace and id

_PART = 500  # rows of a statement


async def import_factors(
    transaction: Transaction, new: Sequence[NewFactor], had: Mapping[Whose, Set[str]] | None, *, dry_run: bool
) -> tuple[int, ...]:
    """Add factors of many people, unless a credential of them is registered already."""
    await transaction.lock(["import"])  # two that run at once see each other: no secret comes in twice
    ids = {one.factor.credential_id: index for index, one in enumerate(new) if isinstance(one.factor, WebAuthnFactor)}
    taken: list[int] = []
    for some in _in_parts(sorted(ids)):
        found = await transaction.fetch_many("taken_credentials", [(id_,) for id_ in some])
        taken += [ids[bytes(row[0])] for row in found]
    if taken or dry_run:
        return tuple(sorted(taken))
    for some_people in _in_parts(sorted({} if had is None else had)):
        await _compare(transaction, some_people, had or {})
    for part in _in_parts(new):
        rows = [
            sealed_factor(transaction.macs, factor_row(one.workspace_id, one.subject_id, one.factor)) for one in part
        ]
        if len(await transaction.fetch_many("insert_factors", rows)) != len(part):
            raise StoreError("a credential was registered while the import ran: nothing was imported, run it again")
        for one in part:
            transaction.append(one.event)
    people = {(one.workspace_id, one.subject_id): one.event.subject_name for one in new}
    for person, name in sorted(people.items()):
        await spend_right(transaction, *person)
        if await transaction.fetch_one("get_person", *person) is None:
            await note_person(transaction, person[0], Person(subject_id=person[1], name=name))
    return ()


async def _compare(transaction: Transaction, people: Sequence[Whose], had: Mapping[Whose, Set[str]]) -> None:
    """Raise ``StoreError`` where somebody has a factor that was not seen."""
    found = await transaction.fetch_many("factors_of_people", people)
    for person in sorted({(row[0], row[1]) for row in found if row[2] not in had[row[0], row[1]]}):
        if any(factor.id not in had[person] for factor in await enrolled(transaction, *person)):
            raise StoreError("somebody enrolled a factor while the import ran: nothing was imported, run it again")


def _in_parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), _PART):
        yield rows[start : start + _PART]
