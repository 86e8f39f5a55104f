"""Approvals for the tests of a store: made through the contract alone."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from stepup_middleware.core.approvals import (
    APPROVAL_LIFETIME,
    Approval,
    ApprovalEnd,
    ApprovalState,
    Decider,
    EndReason,
)
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import TOTPFactor, WebAuthnFactor
from stepup_middleware.core.grants import TokenGrant
from stepup_middleware.core.prompts import Prompt
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.base import HotState

from .values import (
    MINUTE,
    NOW,
    OWNER,
    ask,
    enrol,
    event,
    grant_for,
)

PHONE = Decider(session="s-phone-hashed", ip="203.0.113.5", user_agent="Safari")
LAPTOP = Decider(session="s-laptop-hashed", ip="203.0.113.6", user_agent="Firefox")
ME = (OWNER.workspace_id, OWNER.id)
ASKED = event(EventName.APPROVAL_REQUESTED)
WRONG = event(EventName.FAILED, reason="wrong_digits")
DENIED = event(EventName.APPROVAL_DENIED)
NO = ApprovalEnd(state=ApprovalState.DENIED, reason=EndReason.DENIED, at=NOW, decider=PHONE)
BACK = ApprovalEnd(state=ApprovalState.CANCELLED, reason=EndReason.CANCELLED, at=NOW)
SECOND = timedelta(seconds=1)


def approval_for(prompt: Prompt, **fields: Any) -> Approval:
    """Return a new approval of a prompt, with a code of its own."""
    values: dict[str, Any] = {"prompt": prompt, "code": secrets.token_bytes(32), "match": "42"}
    return Approval(**{**values, **fields})


async def ask_approval(store: HotState, subject: Subject = OWNER, **fields: Any) -> Approval:
    """Ask for a prompt and for its approval, both of which must be there then."""
    prompt = await ask(store, subject, **{"lifetime": APPROVAL_LIFETIME, **fields})
    approval = approval_for(prompt)
    assert await store.records.ask_approval(approval, event=ASKED, now=prompt.created_at) is None
    return approval


async def match(store: HotState, approval: Approval, digits: str = "42", decider: Decider = PHONE) -> Approval | None:
    return await store.records.match_approval(
        approval.prompt.id, digits, decider=decider, wrong=WRONG, denied=DENIED, now=NOW
    )


def approving(
    approval: Approval, factor: WebAuthnFactor | TOTPFactor, decider: Decider = PHONE, **fields: Any
) -> TokenGrant:
    """Return the grant of a ceremony by which a person approves."""
    values = {"decider": decider, "expires_at": approval.prompt.created_at + 5 * MINUTE}
    return grant_for(approval.prompt, factor, **{**values, **fields})


async def approved(store: HotState) -> tuple[Approval, TokenGrant, TokenReference]:
    """Enrol a factor, ask for an approval and approve it; return it as it was asked, with its grant and its token."""
    factor = await enrol(store)
    approval = await ask_approval(store)
    await match(store, approval)
    grant = approving(approval, factor)
    token = await store.issue_token(grant)
    assert isinstance(token, TokenReference)
    return approval, grant, token


async def state_of(store: HotState, approval: Approval) -> ApprovalState | None:
    kept = await store.records.get_approval(approval.prompt.id)
    return None if kept is None else kept.state
