"""A workspace's policy in the database."""

from __future__ import annotations

from collections.abc import Sequence

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.stores.rows import policy_of

from .transaction import Transaction


async def read_policy(transaction: Transaction, workspace_id: str) -> StoredPolicy:
    """Return the policy of a workspace as this transaction sees it."""
    return policy_of(await transaction.fetch_all("read_policy", workspace_id))


async def set_policy(
    transaction: Transaction, workspace_id: str, changes: Sequence[tuple[str, str]], events: Sequence[AuditEvent]
) -> StoredPolicy:
    """Save requirements together under the next version; the last of several for one purpose stands."""
    await transaction.execute("advance_policy_version", workspace_id)
    rows = [(workspace_id, *change) for change in dict(changes).items()]
    await transaction.execute_many("set_requirements", rows)
    for event in events:
        transaction.append(event)
    return await read_policy(transaction, workspace_id)
