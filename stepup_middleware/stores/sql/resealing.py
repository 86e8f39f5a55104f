"""Gives rows of recovery and of people MACs under the first key, so that a later key can be taken away."""

from __future__ import annotations

import json
from collections.abc import Sequence

from stepup_middleware.stores.recovery_rows import CODES, PASSES, PEOPLE, REQUESTS, RIGHTS
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sealing import HANDLES, POLICIES, SealedTable

from .transaction import Transaction

FIRST = '{"table": 0, "after": ["", ""]}'  # no id of a factor begins like this
_TABLES = (PASSES, RIGHTS, CODES, REQUESTS, PEOPLE, POLICIES, HANDLES)


async def reseal(transaction: Transaction, limit: int, cursor: str) -> str | None:
    """Rewrite the MACs of up to ``limit`` rows after a cursor; return the next one, None at the end.

    A forged row stays as it is.
    """
    at = json.loads(cursor)
    number, after = at["table"], at["after"]
    while number < len(_TABLES):
        rows = await _read(transaction, _TABLES[number], after, limit)
        for row in rows:
            if _TABLES[number].holds(transaction.macs, row):
                await _write(transaction, _TABLES[number], _TABLES[number].sealed(transaction.macs, row[:-1]))
        limit -= len(rows)
        if limit <= 0:
            return json.dumps({"table": number, "after": [str(value) for value in rows[-1][:2]]})
        number, after = number + 1, ["", ""]
    return None


async def _read(transaction: Transaction, table: SealedTable, after: Sequence[str], limit: int) -> Sequence[Row]:
    match table.name:
        case PASSES.name:
            return await transaction.fetch_all("passes_after", *after, limit)
        case RIGHTS.name:
            return await transaction.fetch_all("rights_after", *after, limit)
        case CODES.name:
            return await transaction.fetch_all("codes_after", *after, limit)
        case REQUESTS.name:
            return await transaction.fetch_all("requests_after", *after, limit)
        case POLICIES.name:
            return await transaction.fetch_all("policies_after", after[0], limit)
        case HANDLES.name:
            return await transaction.fetch_all("handles_after", *after, limit)
    return await transaction.fetch_all("people_after", *after, limit)


async def _write(transaction: Transaction, table: SealedTable, row: Row) -> None:
    match table.name:
        case PASSES.name:
            await transaction.execute("put_pass", *row)
        case RIGHTS.name:
            await transaction.execute("put_right", *row)
        case CODES.name:
            await transaction.execute("put_codes", *row)
        case REQUESTS.name:
            await transaction.execute("put_request", *row)
        case POLICIES.name:
            await transaction.execute("put_policy", *row)
        case HANDLES.name:
            await transaction.execute("set_user_handle", *row)
        case _:
            await transaction.execute("note_person", *row)
