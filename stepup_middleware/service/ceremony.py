"""The ceremonies of a prompt: from the question to a token."""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime
from typing import Any

from stepup_middleware.ceremonies import authentication, totp
from stepup_middleware.core.approvals import (
    Decider,
    approval_description,
    may_be_approved,
)
from stepup_middleware.core.challenge import NONCE_BYTES, PendingChallenge, commit, describe
from stepup_middleware.core.events import EventName, Outcome
from stepup_middleware.core.factors import Factor, FactorKind, FactorRequirement, WebAuthnFactor
from stepup_middleware.core.grants import GrantRefused, TokenGrant
from stepup_middleware.core.prompts import Prompt, PromptState
from stepup_middleware.core.refusals import Refusal
from stepup_middleware.errors import CeremonyError, FailureReason

from .ceremony_parts import (
    NO_CODE,
    NOT_FOUND,
    TOTP_BUCKET,
    WEBAUTHN_BUCKET,
    CeremonyParts,
    insufficient_for,
    named_factor,
)
from .grants import IssuedToken
from .redemption import on_hold
from .requester import Requester


class CeremonyService(CeremonyParts):
    """Runs ceremonies. Consume first: the challenge is taken and the attempt counted before a proof is judged."""

    async def _asked(self, requester: Requester, prompt_id: str, decider: Decider | None) -> Prompt | Refusal:
        """Return the prompt that a ceremony is for: the session's own, or what a decider approves."""
        if decider is None:
            return await self.open_prompt(requester, prompt_id)
        approval = await self._records.get_approval(prompt_id)
        if approval is None or not approval.is_of(requester.subject):
            return NOT_FOUND
        purpose = self.purpose_of(approval.prompt)
        if not may_be_approved(approval, decider, requester.now) or purpose is None:
            return NOT_FOUND
        if purpose.minimum is FactorRequirement.PHISHING_RESISTANT:
            prompt = approval.prompt
            hold = await self._records.hold_of(prompt.workspace_id, prompt.subject_id, now=requester.now)
            if hold is not None:  # put between the question and the approval; a redemption looks again
                return on_hold(purpose, purpose.minimum, hold.until)
        return approval.prompt

    async def _is_open(self, prompt: Prompt, now: datetime) -> bool:
        stored = await self._store.get_prompt(prompt.id, now=now)
        return stored is not None and stored.state is PromptState.OPEN

    async def begin_webauthn(
        self, requester: Requester, prompt_id: str, kind: FactorKind | None, *, decider: Decider | None = None
    ) -> dict[str, Any] | Refusal:
        """Return ``PublicKeyCredentialRequestOptionsJSON`` for a prompt (WebAuthn L3 §7.2 step 1).

        ``decider``, here and below: where the person approves what a program of theirs asks.
        """
        prompt = await self._asked(requester, prompt_id, decider)
        if isinstance(prompt, Refusal):
            return prompt
        credentials = [
            factor
            for factor in await self.usable(prompt, approving=decider is not None)
            if isinstance(factor, WebAuthnFactor) and kind in (None, factor.kind)
        ]
        if not credentials:
            return insufficient_for(self.purpose_of(prompt), prompt)
        nonce = secrets.token_bytes(NONCE_BYTES)
        pending = PendingChallenge(
            nonce=nonce,
            factor_ids=tuple(factor.id for factor in credentials),
            expires_at=prompt.expires_at,  # so that the modal is not shown with a challenge that has ended
        )
        if not await self._store.set_challenge(prompt.id, pending, now=requester.now):
            return NOT_FOUND
        options: dict[str, Any] = authentication.begin_authentication(
            self._relying_party,
            credentials=credentials,
            challenge=commit(nonce, describe(_description(prompt, decider))),
            timeout=pending.expires_at - requester.now,
        )
        return options

    async def finish_webauthn(
        self, requester: Requester, prompt_id: str, response: object, *, decider: Decider | None = None
    ) -> IssuedToken | Refusal:
        """Verify an ``AuthenticationResponseJSON`` and issue the token (WebAuthn L3 §7.2)."""
        prompt = await self._asked(requester, prompt_id, decider)
        if isinstance(prompt, Refusal):
            return prompt
        pending, closed = await asyncio.gather(
            self._store.pop_challenge(prompt.id, now=requester.now),
            self._reserve(prompt, WEBAUTHN_BUCKET, self._webauthn_limit, requester.now),
        )
        if closed is not None:
            return await self._rate_limited(requester, prompt, closed, None)
        if pending is None and not await self._is_open(prompt, requester.now):
            return NOT_FOUND  # it has ended since it was looked at, and its challenge with it
        tried: WebAuthnFactor | None = None
        try:
            self._same_address(requester, prompt, decider)
            if pending is None:
                raise CeremonyError(FailureReason.CHALLENGE_USED)
            if requester.now >= pending.expires_at:
                raise CeremonyError(FailureReason.CHALLENGE_EXPIRED)
            credentials = [
                factor
                for factor in await self.usable(prompt, approving=decider is not None)
                if isinstance(factor, WebAuthnFactor) and factor.id in pending.factor_ids
            ]
            if not credentials:
                raise CeremonyError(FailureReason.FACTOR_REMOVED)
            tried = named_factor(credentials, response)
            description = describe(_description(prompt, decider))
            verified = authentication.finish_authentication(
                self._relying_party,
                challenge=commit(pending.nonce, description),
                credentials=credentials,
                response=response,
            )
        except CeremonyError as error:
            kind, factor_id = (None, "") if tried is None else (tried.kind, tried.id)
            return await self._failed(requester, prompt, error.reason, kind, factor_id)
        factor: WebAuthnFactor = verified.factor
        evidence = self._assertion(verified, pending.nonce, description)
        grant = self._grant(
            requester,
            prompt,
            factor,
            WEBAUTHN_BUCKET,
            evidence,
            decider=decider,
            expected_sign_count=factor.sign_count,
            sign_count=verified.new_sign_count,
            backed_up=verified.backed_up,
        )
        return await self._issue(requester, prompt, factor, grant)

    async def finish_totp(
        self, requester: Requester, prompt_id: str, code: object, *, decider: Decider | None = None
    ) -> IssuedToken | Refusal:
        """Verify a one-time password and issue the token (RFC 6238 §5.2: each time-step once a secret)."""
        prompt = await self._asked(requester, prompt_id, decider)
        if isinstance(prompt, Refusal):
            return prompt
        had = await self._secrets(prompt)
        if (digits := totp.read_code(code, {secret.digits for _, secret in had} or (totp.DIGITS,))) is None:
            return NO_CODE
        closed = await self._reserve(prompt, TOTP_BUCKET, self._totp_limit, requester.now)
        if closed is not None:
            return await self._rate_limited(requester, prompt, closed, FactorKind.TOTP)
        # read after the attempt was counted: an answer of a moment ago may have spent the step
        had, floor = await asyncio.gather(
            self._secrets(prompt), self._records.last_time_step(prompt.workspace_id, prompt.subject_id)
        )
        try:
            self._same_address(requester, prompt, decider)
            factor, step = self._match(had, digits, requester.now, floor)
        except CeremonyError as error:
            return await self._failed(requester, prompt, error.reason, FactorKind.TOTP)
        needed = await self._floor(prompt, approving=decider is not None)
        if not needed.accepts(FactorKind.TOTP) or factor.id not in prompt.factor_ids:
            # the code was right and is spent: shown to a page that should not have asked for it
            await self._records.advance_time_step(prompt.workspace_id, prompt.subject_id, step)
            await self._failed(requester, prompt, FailureReason.FACTOR_INSUFFICIENT, FactorKind.TOTP)
            return insufficient_for(self.purpose_of(prompt), prompt)
        evidence = {"type": "totp", "time_step": step, "independently_verifiable": False}
        grant = self._grant(requester, prompt, factor, TOTP_BUCKET, evidence, decider=decider, time_step=step)
        return await self._issue(requester, prompt, factor, grant)

    async def cancel(self, requester: Requester, prompt_id: str) -> Refusal | None:
        """Cancel a prompt of this session; what it proved and nobody redeemed is worthless from then on."""
        stored = await self._store.get_prompt(prompt_id, now=requester.now)
        if stored is None or not stored.prompt.belongs_to(requester.subject):
            return NOT_FOUND
        event = self._event(requester, stored.prompt, EventName.FAILED, reason="cancelled", outcome=Outcome.CANCELLED)
        done = await self._store.cancel_prompt(prompt_id, event=event, now=requester.now)
        return None if done else NOT_FOUND

    async def _issue(
        self, requester: Requester, prompt: Prompt, factor: Factor, grant: TokenGrant
    ) -> IssuedToken | Refusal:
        reference = await self._store.issue_token(grant)
        match reference:
            case GrantRefused.PROMPT_CLOSED:
                return NOT_FOUND
            case GrantRefused():
                return await self._failed(requester, prompt, FailureReason(reference.value), factor.kind)
        return IssuedToken(token=self._codec.write(reference), expires_at=grant.expires_at, prompt=prompt)


def _description(prompt: Prompt, decider: Decider | None) -> dict[str, Any]:
    """Return what a person signs: with both sides where they approve what a program of theirs asks."""
    return prompt.description() if decider is None else approval_description(prompt, decider)
