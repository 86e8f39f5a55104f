"""One ceremony for several prompts that are one question: a token for each that is still open."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Unpack

from stepup_middleware.ceremonies import authentication, totp
from stepup_middleware.core.batches import BatchCommitment, BatchItem, Total, Totals, question_of, total_of
from stepup_middleware.core.canonical import base64url
from stepup_middleware.core.challenge import NONCE_BYTES, PendingChallenge, describe
from stepup_middleware.core.factors import Factor, FactorKind, WebAuthnFactor
from stepup_middleware.core.grants import GrantRefused, TokenGrant
from stepup_middleware.core.prompts import Prompt, PromptState, StoredPrompt
from stepup_middleware.core.purposes import INTERNAL_PURPOSES, Purpose
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.texts import marked
from stepup_middleware.errors import CeremonyError, FailureReason

from .ceremony import CeremonyService
from .ceremony_parts import (
    NO_CODE,
    NOT_FOUND,
    TOTP_BUCKET,
    WEBAUTHN_BUCKET,
    Collaborators,
    insufficient_for,
    named_factor,
)
from .grants import IssuedToken
from .requester import Requester

NOT_ONE_QUESTION = Refusal(
    code=RefusalCode.BAD_REQUEST,
    title=marked("These cannot be confirmed together"),
    detail=marked(
        "Only requests of one purpose, from one network and in one language, are confirmed together. Confirm each of "
        "them by itself."
    ),
)
CHANGED = Refusal(
    code=RefusalCode.PROMPT_NOT_FOUND,
    detail=marked(
        "One of these requests was finished, cancelled or has expired meanwhile, and nothing was confirmed. Look at "
        "those that are left, then confirm them."
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchQuestion:
    """Open prompts that are one question. ``left_out``: ids that were asked for, and that are not open.

    ``kinds`` are the factors that serve all of them; ``expires_at`` is when the first of them ends, and the question.
    """

    prompts: tuple[Prompt, ...]
    left_out: tuple[str, ...]
    purpose: Purpose
    factors: tuple[Factor, ...]
    total: Total | None

    @property
    def kinds(self) -> tuple[FactorKind, ...]:
        had = {factor.kind for factor in self.factors}
        return tuple(kind for kind in FactorKind if kind in had)

    @property
    def expires_at(self) -> datetime:
        return min(prompt.expires_at for prompt in self.prompts)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTokens:
    """A token for each prompt that was confirmed, and the ids of those that fell out meanwhile."""

    tokens: tuple[IssuedToken, ...]
    left_out: tuple[str, ...]


class BatchService(CeremonyService):
    """Runs the ceremonies of several prompts. Nothing is kept of a batch: the list is what the page shows and sends.

    A proof is over exactly this list: for WebAuthn the challenge commits to it, and a one-time password comes with it.
    """

    def __init__(self, *, totals: Totals, **parts: Unpack[Collaborators]) -> None:
        super().__init__(**parts)
        self._totals = totals

    async def question(self, requester: Requester, ids: Sequence[str]) -> BatchQuestion | Refusal:
        """Return the question that these prompts are together; what is not open any more is left out of it."""
        found = await asyncio.gather(*(self.open_prompt(requester, prompt_id) for prompt_id in ids))
        prompts = tuple(each for each in found if isinstance(each, Prompt))
        if not prompts:
            return NOT_FOUND
        if (purpose := self._one_purpose(prompts)) is None:
            return NOT_ONE_QUESTION
        factors = await self._serving(prompts)
        if not factors:
            return insufficient_for(purpose, prompts[0])
        return BatchQuestion(
            prompts=prompts,
            left_out=tuple(id_ for id_, each in zip(ids, found, strict=True) if isinstance(each, Refusal)),
            purpose=purpose,
            factors=factors,
            total=total_of(prompts, self._totals),
        )

    async def begin_webauthn_for_all(
        self, requester: Requester, ids: Sequence[str], kind: FactorKind | None
    ) -> dict[str, Any] | Refusal:
        """Return ``PublicKeyCredentialRequestOptionsJSON`` for exactly these prompts; refused if one is not open."""
        question = await self._whole(requester, ids)
        if isinstance(question, Refusal):
            return question
        credentials = [
            factor for factor in question.factors if isinstance(factor, WebAuthnFactor) and kind in (None, factor.kind)
        ]
        if not credentials:
            return insufficient_for(question.purpose, question.prompts[0])
        secret = secrets.token_bytes(NONCE_BYTES)
        pending = PendingChallenge(
            nonce=secret, factor_ids=tuple(factor.id for factor in credentials), expires_at=question.expires_at
        )
        # with each of them, so that one which is answered by itself meanwhile does not take it from the others
        kept = await asyncio.gather(
            *(self._store.set_challenge(prompt.id, pending, now=requester.now) for prompt in question.prompts)
        )
        if not all(kept):
            return CHANGED
        options: dict[str, Any] = authentication.begin_authentication(
            self._relying_party,
            credentials=credentials,
            challenge=BatchCommitment(secret, question.prompts, question.total).challenge(),
            timeout=pending.expires_at - requester.now,
        )
        return options

    async def finish_webauthn_for_all(
        self, requester: Requester, ids: Sequence[str], response: object
    ) -> BatchTokens | Refusal:
        """Verify an ``AuthenticationResponseJSON`` over exactly these prompts; issue tokens of those still open."""
        stored = await asyncio.gather(*(self._own(requester, prompt_id) for prompt_id in ids))
        shown = tuple(each.prompt for each in stored if each is not None)
        open_ = [each.prompt for each in stored if each is not None and each.state is PromptState.OPEN]
        if len(shown) < len(ids):
            return CHANGED  # the first has expired, and the question with it
        if not open_:
            return NOT_FOUND
        if self._one_purpose(shown) is None:
            return NOT_ONE_QUESTION
        first = open_[0]
        pops = (self._store.pop_challenge(prompt.id, now=requester.now) for prompt in open_)
        pending, closed = await asyncio.gather(
            asyncio.gather(*pops), self._reserve(first, WEBAUTHN_BUCKET, self._webauthn_limit, requester.now)
        )
        if closed is not None:
            return await self._rate_limited(requester, first, closed, None)
        tried: WebAuthnFactor | None = None
        try:
            self._same_address(requester, first)
            challenges = [each for each in dict.fromkeys(pending) if each is not None]
            if not challenges:
                raise CeremonyError(FailureReason.CHALLENGE_USED)
            credentials = [factor for factor in await self._serving(open_) if isinstance(factor, WebAuthnFactor)]
            if not credentials:
                raise CeremonyError(FailureReason.FACTOR_REMOVED)
            tried = named_factor(credentials, response)
            total = total_of(shown, self._totals)
            verified, batch = self._verified(requester, challenges, shown, total, credentials, response)
        except CeremonyError as error:
            kind, factor_id = (None, "") if tried is None else (tried.kind, tried.id)
            return await self._failed(requester, first, error.reason, kind, factor_id)
        factor: WebAuthnFactor = verified.factor
        items = batch.items()
        grants = [
            self._grant(
                requester,
                prompt,
                factor,
                WEBAUTHN_BUCKET,
                {
                    **self._assertion(verified, batch.nonce, describe(prompt.description())),
                    "batch": _kept(items[prompt.id]),
                },
                expected_sign_count=factor.sign_count,
                sign_count=verified.new_sign_count,
                backed_up=verified.backed_up,
            )
            for prompt in open_
        ]
        return await self._issue_all(requester, ids, grants)

    def _verified(
        self,
        requester: Requester,
        challenges: Sequence[PendingChallenge],
        shown: tuple[Prompt, ...],
        total: Total | None,
        credentials: Sequence[WebAuthnFactor],
        response: object,
    ) -> tuple[Any, BatchCommitment]:
        """Verify a response over one of the challenges that were pending, and return it with what it is over.

        There is one, unless a prompt of these was in another batch too, or asked about by itself. Raises
        ``CeremonyError``, the one of the last.
        """
        failure = CeremonyError(FailureReason.CHALLENGE_EXPIRED)
        for pending in challenges:
            if requester.now >= pending.expires_at:
                continue
            batch = BatchCommitment(pending.nonce, shown, total)
            offered = [factor for factor in credentials if factor.id in pending.factor_ids]
            try:
                verified = authentication.finish_authentication(
                    self._relying_party, challenge=batch.challenge(), credentials=offered, response=response
                )
            except CeremonyError as error:
                failure = error
                continue
            return verified, batch
        raise failure

    async def finish_totp_for_all(
        self, requester: Requester, ids: Sequence[str], code: object
    ) -> BatchTokens | Refusal:
        """Verify a one-time password for exactly these prompts: it spends one time-step (RFC 6238 §5.2)."""
        question = await self._whole(requester, ids)
        if isinstance(question, Refusal):
            return question
        first = question.prompts[0]
        had = await self._secrets(first)
        if (digits := totp.read_code(code, {secret.digits for _, secret in had} or (totp.DIGITS,))) is None:
            return NO_CODE
        closed = await self._reserve(first, TOTP_BUCKET, self._totp_limit, requester.now)
        if closed is not None:
            return await self._rate_limited(requester, first, closed, FactorKind.TOTP)
        # read after the attempt was counted: an answer of a moment ago may have spent the step
        had, floor = await asyncio.gather(
            self._secrets(first), self._records.last_time_step(first.workspace_id, first.subject_id)
        )
        try:
            self._same_address(requester, first)
            factor, step = self._match(had, digits, requester.now, floor)
        except CeremonyError as error:
            return await self._failed(requester, first, error.reason, FactorKind.TOTP)
        if factor.id not in {each.id for each in await self._serving(question.prompts)}:
            # the code was right and is spent: shown to a page that should not have asked for it
            await self._records.advance_time_step(first.workspace_id, first.subject_id, step)
            await self._failed(requester, first, FailureReason.FACTOR_INSUFFICIENT, FactorKind.TOTP)
            return insufficient_for(question.purpose, first)
        evidence = {"type": "totp", "time_step": step, "independently_verifiable": False, "prompts": len(ids)}
        grants = [
            self._grant(requester, prompt, factor, TOTP_BUCKET, evidence, time_step=step) for prompt in question.prompts
        ]
        return await self._issue_all(requester, ids, grants)

    async def cancel_all(self, requester: Requester, ids: Sequence[str]) -> None:
        """Cancel those of these prompts that are this session's and open, or whose tokens nobody has used."""
        await asyncio.gather(*(self.cancel(requester, prompt_id) for prompt_id in ids))

    # the parts

    async def _whole(self, requester: Requester, ids: Sequence[str]) -> BatchQuestion | Refusal:
        question = await self.question(requester, ids)
        return CHANGED if isinstance(question, BatchQuestion) and question.left_out else question

    async def _own(self, requester: Requester, prompt_id: str) -> StoredPrompt | None:
        """Return a prompt of this session that has not expired, whatever its state."""
        stored = await self._store.get_prompt(prompt_id, now=requester.now)
        if stored is not None and not stored.prompt.belongs_to(requester.subject):
            await self._throttle.log(requester.subject, self._foreign(requester, prompt_id))
            return None
        return stored

    def _one_purpose(self, prompts: Sequence[Prompt]) -> Purpose | None:
        """Return the purpose of prompts that are one question; None for others, and for the library's own purposes."""
        if len(set(map(question_of, prompts))) != 1 or prompts[0].purpose in INTERNAL_PURPOSES:
            return None
        return self.purpose_of(prompts[0])

    async def _serving(self, prompts: Sequence[Prompt]) -> tuple[Factor, ...]:
        """Return the factors that serve every one of these prompts."""
        usable = await self.usable(prompts[0])
        return tuple(factor for factor in usable if all(factor.id in prompt.factor_ids for prompt in prompts))

    async def _issue_all(
        self, requester: Requester, ids: Sequence[str], grants: Sequence[TokenGrant]
    ) -> BatchTokens | Refusal:
        answers = await self._store.issue_tokens(grants)
        tokens = tuple(
            IssuedToken(token=self._codec.write(answer), expires_at=grant.expires_at, prompt=grant.prompt)
            for grant, answer in zip(grants, answers, strict=True)
            if not isinstance(answer, GrantRefused)
        )
        if not tokens:
            reasons = [each for each in answers if each not in (GrantRefused.PROMPT_CLOSED, None)]
            if not reasons:
                return NOT_FOUND
            reason = FailureReason(str(reasons[0]))
            return await self._failed(requester, grants[0].prompt, reason, grants[0].factor_kind)
        confirmed = {token.prompt.id for token in tokens}
        return BatchTokens(tokens=tokens, left_out=tuple(id_ for id_ in ids if id_ not in confirmed))


def _kept(item: BatchItem) -> dict[str, Any]:
    hashes = [base64url(each) for each in item.hashes]
    return {"salt": base64url(item.salt), "hashes": hashes, "total": base64url(item.total)}
