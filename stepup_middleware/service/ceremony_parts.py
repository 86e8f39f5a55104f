"""What every ceremony shares: whose prompt it is, what may serve it, how an attempt counts, what the log keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from stepup_middleware.ceremonies import totp
from stepup_middleware.core.approvals import (
    COLLECT_WITHIN,
    Decider,
    approval_data,
)
from stepup_middleware.core.attempts import AttemptLimit, TooMany
from stepup_middleware.core.canonical import base64url
from stepup_middleware.core.events import AuditEvent, EventFields, EventName
from stepup_middleware.core.factors import Factor, FactorKind, FactorRequirement, TOTPFactor, WebAuthnFactor, stricter
from stepup_middleware.core.grants import TokenGrant
from stepup_middleware.core.policy import effective_requirement
from stepup_middleware.core.prompts import Prompt, PromptState, prompt_event
from stepup_middleware.core.purposes import FACTOR_CHANGE, INTERNAL_PURPOSES, Catalogue, Purpose
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.relying_party import RelyingParty
from stepup_middleware.core.texts import marked
from stepup_middleware.core.tokens import TokenCodec
from stepup_middleware.errors import CeremonyError, FailureReason
from stepup_middleware.stores.base import HotState

from .grants import Counters, proof_data, token_grant
from .redemption import wanting_for, whole_seconds
from .refusal_throttle import RefusalThrottle
from .requester import Requester
from .secret_box import SecretBox

TOTP_BUCKET = "totp"
WEBAUTHN_BUCKET = "webauthn"
# Nobody guesses a signature: this bounds what false ones cost us. It never closes for good, or anybody who holds
# the session could take a person's keys from them.
WEBAUTHN_LIMIT = AttemptLimit(failures=20, pause=timedelta(seconds=30), longest=timedelta(minutes=5), disable_at=None)

_FAILED = Refusal(code=RefusalCode.VERIFICATION_FAILED)
NO_CODE = Refusal(
    code=RefusalCode.VERIFICATION_FAILED,
    detail=marked("Type all digits that your authenticator app shows now. This did not count as an attempt."),
)
USED_CODE = Refusal(
    code=RefusalCode.VERIFICATION_FAILED,
    detail=marked("This code was used already, and each code works once. Wait for the next one, then type that."),
)
# WebAuthn L3 §7.2 step 19: whether a passkey may be synced is fixed for life, and a manager that moved it made another
ANOTHER_PASSKEY = Refusal(
    code=RefusalCode.VERIFICATION_FAILED,
    detail=marked(
        "This passkey answers in another way than when it was added. Add it again under your factors, then click the "
        "action again."
    ),
)
NOT_FOUND = Refusal(code=RefusalCode.PROMPT_NOT_FOUND)


class Collaborators(TypedDict):
    """What a service of ceremonies works with, as ``CeremonyParts`` takes it."""

    store: HotState
    codec: TokenCodec
    secret_box: SecretBox
    relying_party: RelyingParty
    catalogue: Catalogue
    totp_limit: AttemptLimit
    webauthn_limit: AttemptLimit
    throttle: RefusalThrottle


class CeremonyParts:
    """The parts of a ceremony of one prompt or of several."""

    def __init__(
        self,
        *,
        store: HotState,
        codec: TokenCodec,
        secret_box: SecretBox,
        relying_party: RelyingParty,
        catalogue: Catalogue,
        totp_limit: AttemptLimit,
        webauthn_limit: AttemptLimit,
        throttle: RefusalThrottle,
    ) -> None:
        self._store = store
        self._records = store.records
        self._codec = codec
        self._secret_box = secret_box
        self._relying_party = relying_party
        self._catalogue = catalogue
        self._totp_limit = totp_limit
        self._webauthn_limit = webauthn_limit
        self._throttle = throttle

    def purpose_of(self, prompt: Prompt) -> Purpose | None:
        """Return the purpose of a prompt, None when the catalogue has it no more."""
        return INTERNAL_PURPOSES.get(prompt.purpose) or self._catalogue.get(prompt.purpose)

    async def open_prompt(self, requester: Requester, prompt_id: str) -> Prompt | Refusal:
        """Return a prompt that is this session's and still open; one refusal for everything else.

        Somebody else's prompt is answered like an unknown one, and logged.
        """
        stored = await self._store.get_prompt(prompt_id, now=requester.now)
        if stored is None:
            return NOT_FOUND
        if not stored.prompt.belongs_to(requester.subject):
            await self._throttle.log(requester.subject, self._foreign(requester, prompt_id))
            return NOT_FOUND
        if stored.state is not PromptState.OPEN or self.purpose_of(stored.prompt) is None:
            return NOT_FOUND
        return stored.prompt

    async def usable(self, prompt: Prompt, *, approving: bool = False) -> tuple[Factor, ...]:
        """Return the factors that may serve a prompt: offered when it was issued, and still enrolled.

        ``approving``: a person approves what a program asked, and the policy of now counts as well.
        """
        factors = await self._records.list_factors(prompt.workspace_id, prompt.subject_id)
        floor = await self._floor(prompt, approving=approving)
        return tuple(factor for factor in factors if factor.id in prompt.factor_ids and floor.accepts(factor.kind))

    async def _floor(self, prompt: Prompt, *, approving: bool) -> FactorRequirement:
        """Return what a proof of a prompt must meet: what it was issued under, never below the platform's minimum.

        A person who approves was not there when the program asked: they meet also what became stronger since.
        """
        purpose = self.purpose_of(prompt)
        if purpose is None:
            return prompt.requirement
        floor = stricter(prompt.requirement, purpose.minimum)
        if not approving:
            return floor
        return stricter(floor, effective_requirement(purpose, await self._records.get_policy(prompt.workspace_id)))

    async def _secrets(self, prompt: Prompt) -> list[tuple[TOTPFactor, totp.TOTPSecret]]:
        """Return the person's authenticator apps with their secrets."""
        enrolled = await self._records.list_factors(prompt.workspace_id, prompt.subject_id)
        return [
            (factor, totp.read_secret(self._secret_box.decrypt(factor.encrypted_secret, place)))
            for factor in enrolled
            if isinstance(factor, TOTPFactor) and (place := (prompt.workspace_id, prompt.subject_id, factor.id))
        ]

    @staticmethod
    def _match(
        factors: Sequence[tuple[TOTPFactor, totp.TOTPSecret]], code: str, now: datetime, floor: int
    ) -> tuple[TOTPFactor, int]:
        """Return the factor whose secret made the code, and the matched time-step.

        ``floor`` is the last step that the app's own sign-in accepted.
        """
        failure = CeremonyError(FailureReason.FACTOR_NOT_ALLOWED)
        replayed: CeremonyError | None = None
        for factor, secret in factors:
            try:
                return factor, totp.matched_step(secret, code, now=now, last_step=max(factor.last_step, floor))
            except CeremonyError as error:
                failure = error
                if error.reason is FailureReason.CODE_REPLAYED:
                    replayed = error
        raise replayed or failure

    async def _reserve(self, prompt: Prompt, bucket: str, limit: AttemptLimit, now: datetime) -> TooMany | None:
        return await self._records.reserve_attempt(prompt.workspace_id, prompt.subject_id, bucket, limit=limit, now=now)

    @staticmethod
    def _same_address(requester: Requester, prompt: Prompt, decider: Decider | None = None) -> None:
        if decider is None and requester.ip != prompt.ip:
            raise CeremonyError(FailureReason.WRONG_IP)

    def _assertion(self, verified: Any, nonce: bytes, description: bytes) -> dict[str, Any]:
        """Return what the log keeps of a verified assertion: all that is needed to judge it again."""
        factor: WebAuthnFactor = verified.factor
        return {
            "type": "webauthn",
            "nonce": base64url(nonce),
            "description": description.decode(),
            "authenticator_data": base64url(verified.authenticator_data),
            "client_data_json": base64url(verified.client_data_json),
            "signature": base64url(verified.signature),
            "credential_id": base64url(factor.credential_id),
            "public_key": base64url(factor.public_key),
            "algorithm": factor.algorithm,
            "rp_id": self._relying_party.id,
            "origins": list(self._relying_party.origins),
        }

    def _grant(
        self,
        requester: Requester,
        prompt: Prompt,
        factor: Factor,
        bucket: str,
        evidence: Mapping[str, Any],
        *,
        decider: Decider | None = None,
        **counters: Unpack[Counters],
    ) -> TokenGrant:
        purpose = self.purpose_of(prompt)
        assert purpose is not None  # noqa: S101 - open_prompt refused the prompt otherwise
        data, ttl = proof_data(factor, evidence), purpose.ttl
        fields: EventFields = {"factor_kind": factor.kind, "factor_id": factor.id, "data": data}
        if decider is not None:  # the event is the caller's, as those around it: the data tells where it was approved
            data["approval"] = approval_data(prompt, decider)
            fields |= {"ip": prompt.ip, "user_agent": prompt.user_agent}
            ttl = COLLECT_WITHIN
        event = self._event(requester, prompt, EventName.VERIFIED, **fields)
        return token_grant(requester, prompt, factor, ttl=ttl, bucket=bucket, event=event, decider=decider, **counters)

    def _event(
        self, requester: Requester, prompt: Prompt, name: EventName, **fields: Unpack[EventFields]
    ) -> AuditEvent:
        purpose = self.purpose_of(prompt)
        values: EventFields = {"ip": requester.ip, "user_agent": requester.user_agent, **fields}
        return prompt_event(
            prompt,
            name,
            now=requester.now,
            retention_years=1 if purpose is None else purpose.retention_years,
            **values,
        )

    @staticmethod
    def _foreign(requester: Requester, prompt_id: str) -> AuditEvent:
        """Log that somebody else came to a prompt: under their own name, with what they sent and nothing of the prompt.

        Purpose, request and details are its owner's, perhaps of another workspace.
        """
        reason = FailureReason.WRONG_HOLDER.value
        return requester.event(EventName.BLOCKED, prompt_id=prompt_id, reason=reason, flags=(reason,))

    async def _failed(
        self,
        requester: Requester,
        prompt: Prompt,
        reason: FailureReason,
        kind: FactorKind | None,
        factor_id: str = "",
    ) -> Refusal:
        """Log a failure and return what the person is told: one sentence, but for three reasons that they can mend."""
        await self._records.append(
            [
                self._event(
                    requester, prompt, EventName.FAILED, factor_kind=kind, factor_id=factor_id, reason=reason.value
                )
            ]
        )
        match reason:
            case FailureReason.WRONG_IP:
                return Refusal(code=RefusalCode.IP_MISMATCH)
            case FailureReason.CODE_REPLAYED:  # said only to a person whose code was right and is spent
                return USED_CODE
            case FailureReason.BACKUP_ELIGIBILITY_CHANGED:
                return ANOTHER_PASSKEY
        return _FAILED

    async def _rate_limited(
        self, requester: Requester, prompt: Prompt, closed: TooMany, kind: FactorKind | None
    ) -> Refusal:
        reason = FailureReason.RATE_LIMITED.value
        blocked = self._event(requester, prompt, EventName.BLOCKED, factor_kind=kind, reason=reason, flags=(reason,))
        await self._throttle.log(requester.subject, blocked)
        return Refusal(code=RefusalCode.RATE_LIMITED, retry_after_seconds=whole_seconds(closed.retry_after))


def named_factor(credentials: Sequence[WebAuthnFactor], response: object) -> WebAuthnFactor | None:
    """Return which of the offered factors a response says it is of: the client's word, for the log alone."""
    named = response.get("id") if isinstance(response, dict) else None
    return next((factor for factor in credentials if base64url(factor.credential_id) == named), None)


def insufficient_for(purpose: Purpose | None, prompt: Prompt) -> Refusal:
    """Return the refusal of a prompt that the person's factors cannot serve."""
    return wanting_for(purpose or FACTOR_CHANGE, prompt)
