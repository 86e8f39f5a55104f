"""Rows of the table of approvals and the values of the contract, each made from the other, with their MAC.

The MAC covers every column but the epoch, an earlier one of which ends an approval, and the number of its last change.
"""

from __future__ import annotations

import json
from typing import Any

from stepup_middleware.core.approvals import Approval, ApprovalState, Decider, EndReason
from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.moments import from_micros, to_micros
from stepup_middleware.core.prompts import PromptState
from stepup_middleware.core.tokens import TokenReference

from .rows import Row, stored_prompt
from .sealing import sealed_table

APPROVALS = sealed_table(
    "approvals", "approval",
    "prompt", "workspace", "subject", "session", "purpose", "code", "digits", "asked_at", "expires_at", "body", "state",
    "tries", "matched", "decided_at", "decider", "reason", "token", "nonce",
)  # fmt: skip


def approval_row(approval: Approval) -> tuple[Any, ...]:
    """Return the row of an approval."""
    prompt, decider, token = approval.prompt, approval.decider, approval.token
    return (
        prompt.id,
        prompt.workspace_id,
        prompt.subject_id,
        prompt.session,
        prompt.purpose,
        approval.code,
        approval.match,
        to_micros(prompt.created_at),
        to_micros(prompt.expires_at),
        canonical_json(prompt.kept()),
        approval.state.value,
        approval.tries,
        approval.matched,
        None if approval.decided_at is None else to_micros(approval.decided_at),
        "" if decider is None else canonical_json([decider.session, decider.ip, decider.user_agent]),
        "" if approval.reason is None else approval.reason.value,
        None if token is None else token.id,
        None if token is None else token.nonce,
    )


def approval_of(row: Row) -> Approval:
    """Return the approval of a row."""
    prompt, workspace, subject, session, _, code, match, asked_at, expires_at, body, state, *rest = row
    tries, matched, decided_at, decider, reason, token, nonce = rest[:7]
    place = (prompt, workspace, subject, session, PromptState.OPEN, asked_at, expires_at)
    return Approval(
        prompt=stored_prompt(json.loads(body), *place).prompt,
        code=bytes(code),
        match=match,
        state=ApprovalState(state),
        tries=tries,
        matched=matched,
        decided_at=None if decided_at is None else from_micros(decided_at),
        decider=_decider_of(decider),
        reason=EndReason(reason) if reason else None,
        token=None if token is None else TokenReference(token, bytes(nonce)),
    )


def _decider_of(text: str) -> Decider | None:
    if not text:
        return None
    session, ip, user_agent = json.loads(text)
    return Decider(session=session, ip=ip, user_agent=user_agent)
