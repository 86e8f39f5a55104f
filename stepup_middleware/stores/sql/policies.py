"""A workspace's policy in the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.policy import StoredPolicy, altered_policy
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sealing import POLICIES, Tampered

from .transaction import Transaction


def policy_of(
    macs: RowMacs | None, workspace_id: str, row: Row | None, last_change: str | None
) -> tuple[StoredPolicy, Sequence[Tampered]]:
    """Return the policy of a row of ``POLICIES``, and the row again where it does not count.

    ``last_change`` is the body of the workspace's last ``POLICY_CHANGED``: a row of an earlier version than that, or
    none, was put back. Without MACs nothing is checked.
    """
    said = 0 if last_change is None else _version_in(last_change)
    if macs is None or said is None:
        holds = macs is None
    elif row is None:
        holds = said == 0
    else:
        holds = POLICIES.holds(macs, row) and row[1] >= said
    if not holds:
        kept = row[1] if row is not None and isinstance(row[1], int) else 0
        return altered_policy(max(kept, said or 0)), [Tampered("policies", workspace_id, workspace_id, "")]
    return StoredPolicy() if row is None else StoredPolicy(version=row[1], values=json.loads(row[2])), ()


def _version_in(body: str) -> int | None:
    """Return the version of a policy that a record made, None for a body that no honest writer made."""
    try:
        version = json.loads(body)["policy_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return version if isinstance(version, int) else None


def read_row(found: Row | None) -> tuple[Row | None, str | None]:
    """Return the row of ``POLICIES`` and the last change in a row of ``read_policy``."""
    if found is None:
        return None, None
    *row, last_change = found
    return (None if row[0] is None else row), last_change


async def read_policy(transaction: Transaction, workspace_id: str) -> StoredPolicy:
    """Return the policy of a workspace as this transaction sees it."""
    found = read_row(await transaction.fetch_one("read_policy", workspace_id))
    policy, tampered = policy_of(transaction.macs, workspace_id, *found)
    transaction.tampered += tampered
    return policy


async def set_policy(
    transaction: Transaction, workspace_id: str, changes: Sequence[tuple[str, str]], events: Sequence[AuditEvent]
) -> StoredPolicy:
    """Save requirements together under the next version; the last of several for one purpose stands."""
    await transaction.lock([f"policy\0{workspace_id}"])
    before = await read_policy(transaction, workspace_id)
    after = StoredPolicy(version=before.version + 1, values={**before.values, **dict(changes)})
    row = (workspace_id, after.version, canonical_json(dict(after.values)))
    await transaction.execute("put_policy", *POLICIES.sealed(transaction.macs, row))
    for event in events:
        transaction.append(replace(event, policy_version=after.version))
    return after
