"""Which factors of a person count, and which are missed."""

from __future__ import annotations

from stepup_middleware.core.factors import EnrolledFactor, FactorKind
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sealing import FACTOR_COLUMNS, Tampered, factor_counts, tampered_factor

from .transaction import Transaction

_KIND, _CREATED_AT = FACTOR_COLUMNS.index("kind"), FACTOR_COLUMNS.index("created_at")


async def _counted(transaction: Transaction, workspace_id: str, subject_id: str) -> list[Row]:
    counted = []
    for row in await transaction.fetch_all("factors_of", workspace_id, subject_id):
        if factor_counts(transaction.macs, row):
            counted.append(row)
        else:
            transaction.tampered.append(tampered_factor(row))
    return counted


async def enrolled(transaction: Transaction, workspace_id: str, subject_id: str) -> list[EnrolledFactor]:
    """Return the person's factors as this transaction finds them, oldest first."""
    rows = await _counted(transaction, workspace_id, subject_id)
    return [EnrolledFactor(row[0], FactorKind(row[_KIND])) for row in rows]


async def count_enrolled(transaction: Transaction, workspace_id: str, subject_id: str, *, by: int) -> tuple[int, int]:
    """Return how many factors the person has, and how many of them were there by a moment."""
    rows = await _counted(transaction, workspace_id, subject_id)
    return len(rows), sum(row[_CREATED_AT] <= by for row in rows)


async def missed(transaction: Transaction, workspace_id: str, subject_id: str) -> list[str]:
    """Return the ids of factors that are enrolled by the log, and not there."""
    ids = [str(row[0]) for row in await transaction.fetch_all("missed_factors", workspace_id, subject_id)]
    transaction.tampered += [Tampered("factors", id_, workspace_id, subject_id) for id_ in ids]
    return ids
