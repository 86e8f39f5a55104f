"""A workspace's policy in the database."""

from __future__ import annotations

from collections.abc import Sequence

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.stores.rows import policy_of

from .transaction import Transaction


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
