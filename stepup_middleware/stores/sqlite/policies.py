"""A workspace's policy in the database."""

from __future__ import annotations

from collections.abc import Sequence

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.policy import StoredPolicy

from .rows import Row
from .transaction import Transaction


def policy_of(rows: Sequence[Row]) -> StoredPolicy:
    """Return the policy of the rows of ``read_policy_with_version``."""
    if not rows:
        return StoredPolicy()
    values = {purpose: requirement for _, purpose, requirement in rows if purpose is not None}
    return StoredPolicy(version=rows[0][0], values=values)


def read_policy(transaction: Transaction, workspace_id: str) -> StoredPolicy:
    """Return the policy of a workspace as this transaction sees it."""
    return policy_of(transaction.rows("read_policy_with_version", (workspace_id,)))


def set_policy(
    transaction: Transaction, workspace_id: str, changes: Sequence[tuple[str, str]], events: Sequence[AuditEvent]
) -> StoredPolicy:
    """Save requirements together under the next version."""
    transaction.run("advance_policy_version", (workspace_id,))
    transaction.run_many("set_requirement", [(workspace_id, *change) for change in changes])
    for event in events:
        transaction.append(event)
    return read_policy(transaction, workspace_id)
