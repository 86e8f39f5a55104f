"""May the request run? Redeems the token that came with it, or asks the person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from ssl import RAND_bytes

from stepup_middleware.core.approvals import APPROVAL_LIFETIME, ApprovalRefused, Offer
from stepup_middleware.core.attempts import TooMany
from stepup_middleware.core.binding import details_digest, request_digest
from stepup_middleware.core.decisions import Flag, Presentation, Verdict
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.factors import FactorRequirement
from stepup_middleware.core.moments import time_ordered_id
from stepup_middleware.core.prompts import (
    OPEN_PROMPTS_PER_SESSION,
    PROMPT_LIFETIME,
    NoFactor,
    Prompt,
    PromptRequest,
)
from stepup_middleware.core.proof import ActionRequest, Proof, proof_of
from stepup_middleware.core.purposes import Purpose
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.texts import Text, marked
from stepup_middleware.core.tokens import TokenCodec, TokenReference
from stepup_middleware.core.visible import visible
from stepup_middleware.languages import Languages
from stepup_middleware.stores.base import HotState

from .approvals import ApprovalService
from .refusal_throttle import RefusalThrottle
from .requester import Requester, logger

_UNCOUNTED = (Verdict.REDEEMED, Verdict.SPENT, Verdict.REUSED)  # a replay is counted by its token
LINKED_SHARE = 4  # links of other sites ask only up to this part of the session's limit of open prompts


class RedemptionService:
    """Decides whether a request may run. Every path that is not a redemption is a refusal."""

    def __init__(
        self,
        *,
        store: HotState,
        codec: TokenCodec,
        throttle: RefusalThrottle,
        clock: Callable[[], datetime],
        languages: Languages,
        approvals: ApprovalService,
        open_limit: int = OPEN_PROMPTS_PER_SESSION,
    ) -> None:
        self._approvals = approvals
        self._store = store
        self._throttle = throttle
        self._codec = codec
        self._clock = clock
        self._languages = languages
        self._open_limit = open_limit

    async def admit(self, requester: Requester, wanted: ActionRequest) -> Proof | Refusal:
        """Redeem the token of a request, or refuse. Raises ``StoreError`` when nothing can be decided."""
        if wanted.held and not wanted.tokens:
            async with self._approvals.held(requester, wanted) as held:
                if isinstance(held, Refusal):
                    return held
                if held is not None:
                    return await self._admit(requester, replace(wanted, tokens=[held.encode()]), held=True)
                return await self._admit(requester, wanted)
        return await self._admit(requester, wanted)

    async def _admit(self, requester: Requester, wanted: ActionRequest, *, held: bool = False) -> Proof | Refusal:
        if not wanted.tokens:
            return await self._ask(requester, wanted)
        reference, fault = self._read(wanted.tokens)
        if reference is None:
            return await self._ask(requester, wanted, extra_events=(self._blocked(requester, wanted, fault),))
        if (closed := self._throttle.closed(requester.subject, requester.now)) is not None:
            await self._throttle.log(requester.subject, self._blocked(requester, wanted, "rate_limited"))
            return Refusal(code=RefusalCode.RATE_LIMITED, retry_after_seconds=whole_seconds(closed))
        shown = self._presentation(requester, wanted, reference, held)
        redemption = await self._store.redeem(shown)
        if redemption.decision.verdict not in _UNCOUNTED:
            self._throttle.refused(requester.subject, requester.now)
        match redemption.decision.verdict:
            case Verdict.REDEEMED if redemption.row is not None:
                return proof_of(redemption.row, shown)
            case Verdict.REUSED:
                return Refusal(code=RefusalCode.TOKEN_REUSED, purpose=wanted.purpose)
            case Verdict.IP_MISMATCH:
                return Refusal(code=RefusalCode.IP_MISMATCH, purpose=wanted.purpose)
            case Verdict.EXPIRED:
                return await self._ask(requester, wanted, code=RefusalCode.TOKEN_EXPIRED)
            case Verdict.FACTOR_INSUFFICIENT:
                subject = requester.subject
                hold = None
                if Flag.ON_HOLD in redemption.decision.flags:
                    hold = await self._store.records.hold_of(subject.workspace_id, subject.id, now=requester.now)
                if hold is not None:
                    return on_hold(wanted.purpose, wanted.purpose.minimum, hold.until)
                title, name = marked("Another factor is needed"), subject.name or subject.id
                return _wanting(title, _NO_MORE, name, wanted.purpose, wanted.purpose.minimum)
            case _:
                return await self._ask(requester, wanted)

    def completed(self, requester: Requester, proof: Proof, purpose: Purpose, outcome: Mapping[str, object]) -> None:
        """Log how an authorized action ended. Nobody waits for it; ``StepUp.close`` writes what is left."""
        try:
            now = self._clock()
        except Exception:
            logger.exception("the clock failed; the end of the action is logged at its beginning")
            now = requester.now
        self._store.records.append_soon(
            requester.completed(proof, at=now, retention_years=purpose.retention_years, outcome=outcome)
        )

    def has_signed(self, token: bytes) -> bool:
        """Whether this text is a token that one of our keys has signed, whatever has become of it."""
        return self._codec.read(token) is not None

    def _read(self, tokens: Sequence[bytes]) -> tuple[TokenReference | None, str]:
        if len(tokens) != 1 or b"," in tokens[0]:
            return None, "ambiguous_token"
        reference = self._codec.read(tokens[0])
        return reference, "" if reference else "malformed_token"

    @staticmethod
    def _presentation(
        requester: Requester, wanted: ActionRequest, reference: TokenReference, held: bool
    ) -> Presentation:
        subject, purpose, request = requester.subject, wanted.purpose, wanted.request.text()
        return Presentation(
            reference=reference,
            attempt=RAND_bytes(16),  # asks the kernel nothing, and so no other thread comes in between
            workspace_id=subject.workspace_id,
            subject_id=subject.id,
            subject_name=subject.name,
            actor=subject.actor,
            client=subject.client,
            session=subject.session,
            ip=requester.ip,
            user_agent=requester.user_agent,
            purpose=purpose.id,
            ttl=purpose.ttl,
            minimum=purpose.minimum,
            retention_years=purpose.retention_years,
            request=wanted.request,
            request_text=request,
            request_digest=request_digest(request),
            details=wanted.details,
            details_digest=details_digest(wanted.details),
            now=requester.now,
            held=held,
        )

    async def _ask(
        self,
        requester: Requester,
        wanted: ActionRequest,
        *,
        code: RefusalCode = RefusalCode.REQUIRED,
        extra_events: tuple[AuditEvent, ...] = (),
    ) -> Refusal:
        if wanted.prefetch:
            return Refusal(code=code, purpose=wanted.purpose, requirement=wanted.purpose.minimum)
        if wanted.elsewhere and (standing := await self._approvals.standing(requester, wanted)) is not None:
            if extra_events:
                await self._store.records.append(extra_events)
            return _asking(code, wanted, *standing)
        texts = self._languages.texts(requester.locale)
        asked = PromptRequest(
            prompt_id=time_ordered_id(requester.now, RAND_bytes(16)),
            subject=requester.subject,
            ip=requester.ip,
            user_agent=requester.user_agent,
            purpose=wanted.purpose,
            request=wanted.request,
            details=wanted.details,
            locale=requester.locale,
            title=texts(wanted.purpose.authorize_title),
            consequence=texts(wanted.purpose.consequence),
            now=requester.now,
            lifetime=APPROVAL_LIFETIME if wanted.elsewhere else PROMPT_LIFETIME,
            extra_events=extra_events,
        )
        limit = max(1, self._open_limit // LINKED_SHARE) if wanted.linked else self._open_limit
        answer = await self._store.ask(asked, open_limit=limit)
        if isinstance(answer, TooMany):
            return Refusal(code=RefusalCode.RATE_LIMITED, retry_after_seconds=whole_seconds(answer.retry_after))
        if isinstance(answer, NoFactor) and answer.held_until is not None:
            return on_hold(wanted.purpose, answer.requirement, answer.held_until)
        if isinstance(answer, NoFactor):
            return _insufficient(wanted.purpose, answer, requester.subject)
        approval = await self._approvals.ask(requester, answer, wanted.purpose) if wanted.elsewhere else None
        return _asking(code, wanted, answer, approval)

    @staticmethod
    def _blocked(requester: Requester, wanted: ActionRequest, reason: str) -> AuditEvent:
        return requester.event(
            EventName.BLOCKED,
            purpose=wanted.purpose.id,
            request=wanted.request,
            details=wanted.details,
            reason=reason,
            flags=(reason,),
            retention_years=wanted.purpose.retention_years,
        )


def _asking(
    code: RefusalCode, wanted: ActionRequest, prompt: Prompt, approval: Offer | ApprovalRefused | None
) -> Refusal:
    return Refusal(code=code, prompt=prompt, purpose=wanted.purpose, requirement=prompt.requirement, approval=approval)


_NO_FACTOR = {
    FactorRequirement.ANY: marked(
        "%(name)s, you have no factor yet. Enrol a passkey, a hardware key or an authenticator app on the page of your "
        "factors, then click the action again."
    ),
    FactorRequirement.PHISHING_RESISTANT: marked(
        "%(name)s, you have no factor yet. Enrol a passkey or hardware key on the page of your factors, then click the "
        "action again."
    ),
}
_WEAKER = marked(
    "%(name)s, your authenticator app is not enough for this action. Enrol a passkey or hardware key on the page of "
    "your factors, then click the action again."
)
_NOT_THAT_WAY = marked(
    "%(name)s, none of your factors can confirm this in that way. See which you have on the page of your factors, then "
    "click the action again."
)
_NO_MORE = marked(
    "%(name)s, the factor that you confirmed with is not enough for this action any more. See which you have on the "
    "page of your factors, then click the action again."
)


def _wanting(title: str, detail: str, name: str, purpose: Purpose, requirement: FactorRequirement) -> Refusal:
    """Return a refusal for want of a factor: whose it is, and the way to enrol one."""
    return Refusal(
        code=RefusalCode.FACTOR_INSUFFICIENT,
        title=title,
        detail=Text(detail, {"name": visible(name)}),
        purpose=purpose,
        requirement=requirement,
        enroll=True,
    )


def _insufficient(purpose: Purpose, answer: NoFactor, subject: Subject) -> Refusal:
    """Return the refusal of a person none of whose factors meets what is asked for."""
    name = subject.name or subject.id
    if answer.has_weaker:
        return _wanting("", _WEAKER, name, purpose, answer.requirement)
    return _wanting(marked("A factor is needed"), _NO_FACTOR[answer.requirement], name, purpose, answer.requirement)


def wanting_for(purpose: Purpose, prompt: Prompt) -> Refusal:
    """Return the refusal of a prompt that the person's factors cannot serve, or not in the way that was tried."""
    title, name = marked("Another factor is needed"), prompt.subject_name or prompt.subject_id
    return _wanting(title, _NOT_THAT_WAY, name, purpose, prompt.requirement)


def on_hold(purpose: Purpose, requirement: FactorRequirement, until: datetime) -> Refusal:
    """Return the refusal of a purpose that is closed to the person for a while, whatever they enrol."""
    return Refusal(
        code=RefusalCode.FACTOR_INSUFFICIENT,
        title=marked("Closed for a while"),
        detail=Text(
            marked(
                "Your factors were reset, or a recovery code was used. So that nobody else can act in your name, this "
                "action is closed to you until %(moment)s. Come back then, or ask somebody else who may do it."
            ),
            {"moment": until},
        ),
        purpose=purpose,
        requirement=requirement,
        until=until,
    )


def whole_seconds(span: timedelta) -> int:
    """Return a span in whole seconds, rounded up, at least 1: for ``Retry-After``."""
    return max(1, -(-span // timedelta(seconds=1)))
