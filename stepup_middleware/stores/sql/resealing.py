"""Gives rows of recovery, of people and of the tree MACs under the first key, so that a later key can be taken away."""

from __future__ import annotations

import json
from collections.abc import Sequence

from stepup_middleware.log.records import RowKind
from stepup_middleware.stores.approval_rows import APPROVALS
from stepup_middleware.stores.recovery_rows import CODES, PASSES, PEOPLE, REQUESTS, RIGHTS
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sealing import HANDLES, POLICIES

from .integration import reseal_trees
from .transaction import Transaction

FIRST = '{"table": 0, "after": ["", ""]}'  # no id of a factor begins like this
_TABLES = (PASSES, RIGHTS, CODES, REQUESTS, PEOPLE, POLICIES, HANDLES, APPROVALS)


async def reseal(transaction: Transaction, limit: int, cursor: str) -> str | None:
    """Rewrite the MACs of up to ``limit`` rows after a cursor; return the next one, None at the end.

    The few of the trees come last. A forged row stays as it is.
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
    await reseal_trees(transaction)
    return None


async def _read(transaction: Transaction, kind: RowKind, after: Sequence[str], limit: int) -> Sequence[Row]:
    match kind.table:
        case PASSES.table:
            return await transaction.fetch_all("passes_after", *after, limit)
        case RIGHTS.table:
            return await transaction.fetch_all("rights_after", *after, limit)
        case CODES.table:
            return await transaction.fetch_all("codes_after", *after, limit)
        case REQUESTS.table:
            return await transaction.fetch_all("requests_after", *after, limit)
        case POLICIES.table:
            return await transaction.fetch_all("policies_after", after[0], limit)
        case HANDLES.table:
            return await transaction.fetch_all("handles_after", *after, limit)
        case APPROVALS.table:
            return await transaction.fetch_all("approvals_after", after[0], limit)
    return await transaction.fetch_all("people_after", *after, limit)


async def _write(transaction: Transaction, kind: RowKind, row: Row) -> None:
    match kind.table:
        case PASSES.table:
            await transaction.execute("put_pass", *row)
        case RIGHTS.table:
            await transaction.execute("put_right", *row)
        case CODES.table:
            await transaction.execute("put_codes", *row)
        case REQUESTS.table:
            await transaction.execute("put_request", *row)
        case POLICIES.table:
            await transaction.execute("put_policy", *row)
        case HANDLES.table:
            await transaction.execute("set_user_handle", *row)
        case APPROVALS.table:
            await transaction.execute("set_approval_mac", row[0], row[-1])
        case _:
            await transaction.execute("note_person", *row)
