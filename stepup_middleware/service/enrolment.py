"""Enrolment of a person's factors: by a registration ceremony, or by a secret and its first code.

To begin a further factor takes a step-up, for which the caller asks first. Finishing an enrolment asks for
nothing more; it is bound to the session that began it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from stepup_middleware.ceremonies import registration, totp
from stepup_middleware.core.attempts import AttemptLimit
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import (
    Enrolment,
    EnrolmentBasis,
    Factor,
    FactorKind,
    TOTPFactor,
    WebAuthnFactor,
)
from stepup_middleware.core.providers import provider_of
from stepup_middleware.core.purposes import Catalogue
from stepup_middleware.core.recovery import FirstFactor
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.relying_party import RelyingParty
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.texts import Text, marked
from stepup_middleware.errors import CeremonyError, FailureReason
from stepup_middleware.stores.records import Records

from .ceremony_parts import NO_CODE, TOTP_BUCKET, USED_CODE
from .factors import BY_ACTOR, factor_name
from .notices import person_language
from .redemption import whole_seconds
from .refusal_throttle import RefusalThrottle
from .requester import Requester
from .secret_box import SecretBox

ENROLMENT_LIFETIME = timedelta(minutes=10)
FRESH_SIGN_IN = timedelta(minutes=10)
MAX_FACTORS = 20

_PASS_OR_SIGN_IN = marked(
    "Your first factor needs an enrolment pass, or a sign-in from the last ten minutes. Type your pass below, or sign "
    "out, sign in again, and enrol it then."
)
_FAILED = {
    True: Refusal(
        code=RefusalCode.VERIFICATION_FAILED,
        detail=marked("This code does not match. Type the six digits that the app shows now."),
    ),
    False: Refusal(
        code=RefusalCode.VERIFICATION_FAILED,
        detail=marked(
            "It could not be added, and nothing was changed. Try again; a security key is added as a hardware key."
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    """A one-time-password secret to be confirmed under ``id`` with its first code.

    ``secret`` is in base32, ``uri`` the ``otpauth:`` URI that has it. It is shown once and in no
    ``repr``.
    """

    id: str
    secret: str
    uri: str

    def __repr__(self) -> str:
        return f"<NewSecret {self.id}>"


class EnrolmentService:
    """Enrols factors. Every answer that is not a result is a ``Refusal``."""

    def __init__(
        self,
        *,
        store: Records,
        secret_box: SecretBox,
        relying_party: RelyingParty,
        catalogue: Catalogue,
        totp_limit: AttemptLimit,
        throttle: RefusalThrottle,
        first_factor: FirstFactor = FirstFactor.RECENT_SIGN_IN,
    ) -> None:
        self._store = store
        self._first_factor = first_factor
        self._secret_box = secret_box
        self._relying_party = relying_party
        self._catalogue = catalogue
        self._totp_limit = totp_limit
        self._throttle = throttle

    async def basis(self, requester: Requester) -> EnrolmentBasis | Refusal:
        """Return on what a person may begin to enrol a factor; ``STEP_UP``: once they have stepped up.

        Holding a session does not make anybody the person: a first factor needs what ``first_factor`` says.
        """
        subject = requester.subject
        if subject.actor:
            return BY_ACTOR
        enrolled = bool(await self._enrolled(subject))
        right = await self._store.enrolment_right(subject.workspace_id, subject.id)
        if (
            right is not None
            and right.serves(subject.session, requester.ip, requester.now)
            and right.basis.still_holds(has_factors=enrolled, had_before=False)
        ):
            return right.basis
        if enrolled:
            return EnrolmentBasis.STEP_UP
        signed_in_at = subject.signed_in_at
        fresh = signed_in_at is not None and timedelta(0) <= requester.now - signed_in_at <= FRESH_SIGN_IN
        if self._first_factor.takes_sign_in and fresh:
            return EnrolmentBasis.SIGN_IN
        if self._first_factor.takes_pass:
            return Refusal(
                code=RefusalCode.PASS_REQUIRED, detail=_PASS_OR_SIGN_IN if self._first_factor.takes_sign_in else ""
            )
        return Refusal(
            code=RefusalCode.NOT_SIGNED_IN,
            detail=marked(
                "Your first factor needs a sign-in from the last ten minutes. Sign out, sign in again, and enrol "
                "it then."
            ),
        )

    async def begin_webauthn(
        self, requester: Requester, kind: FactorKind, basis: EnrolmentBasis
    ) -> dict[str, Any] | Refusal:
        """Return ``PublicKeyCredentialCreationOptionsJSON`` for a passkey or a hardware key."""
        subject = requester.subject
        enrolled = await self._enrolled(subject)
        if len(enrolled) >= MAX_FACTORS:
            return _too_many()
        handle = await self._store.user_handle(subject.workspace_id, subject.id, fresh=secrets.token_bytes(64))
        challenge = secrets.token_bytes(32)
        enrolment = self._enrolment(requester, kind, basis, challenge=challenge)
        await self._store.begin_enrolment(enrolment, now=requester.now)
        options: dict[str, Any] = registration.begin_registration(
            self._relying_party,
            user_handle=handle,
            user_name=subject.account,
            display_name=subject.name or subject.id,
            kind=kind,
            exclude=[factor.credential_id for factor in enrolled if isinstance(factor, WebAuthnFactor)],
            challenge=challenge,
            timeout=ENROLMENT_LIFETIME,
        )
        return options

    async def finish_webauthn(self, requester: Requester, name: object, credential: object) -> Factor | Refusal:
        """Verify a ``RegistrationResponseJSON`` and keep the credential.

        The kind is the one that the enrolment began with, whichever of the two is pending for this session.
        """
        subject = requester.subject
        pending = None
        for kind in (FactorKind.PASSKEY, FactorKind.HARDWARE_KEY):
            # one enrolment answers: both kinds are taken, the later one counts
            found = await self._store.pop_enrolment(
                subject.workspace_id, subject.id, subject.session, kind, id=None, now=requester.now
            )
            if found is not None and (pending is None or found.expires_at > pending.expires_at):
                pending = found
        try:
            if pending is None:
                raise CeremonyError(FailureReason.CHALLENGE_USED)
            new = registration.finish_registration(
                self._relying_party, challenge=pending.challenge, kind=pending.kind, response=credential
            )
        except CeremonyError as error:
            return await self._failed(requester, error.reason, None if pending is None else pending.kind)
        handle = await self._store.user_handle(subject.workspace_id, subject.id, fresh=secrets.token_bytes(64))
        factor = WebAuthnFactor(
            id=secrets.token_urlsafe(12),
            kind=pending.kind,
            name=factor_name(name, pending.kind),
            created_at=requester.now,
            last_used_at=None,
            credential_id=new.credential_id,
            public_key=new.public_key,
            algorithm=new.algorithm,
            sign_count=new.sign_count,
            backup_eligible=new.backup_eligible,
            backed_up=new.backed_up,
            transports=new.transports,
            aaguid=new.aaguid,
            user_handle=handle,
        )
        event = requester.event(
            EventName.FACTOR_ENROLLED,
            factor_kind=factor.kind,
            factor_id=factor.id,
            retention_years=self._catalogue.factor_retention_years,
            data={
                **person_language(requester),
                "name": factor.name,
                "credential_id": factor.credential_id.hex(),
                "public_key": factor.public_key.hex(),
                "algorithm": factor.algorithm,
                "aaguid": factor.aaguid,
                "provider": provider_of(factor.aaguid),
                "attestation_format": new.attestation_format,
                "backup_eligible": factor.backup_eligible,
                "rp_id": self._relying_party.id,
            },
        )
        if await self._store.add_webauthn_factor(subject.workspace_id, subject.id, factor, event=event, begun=pending):
            return factor
        if not await self._still_holds(requester, pending):
            return await self._failed(requester, FailureReason.FACTOR_NOT_ALLOWED, factor.kind)
        return Refusal(
            code=RefusalCode.FACTOR_CONFLICT,
            detail=marked("This passkey or key is registered already. Use another one."),
        )

    async def begin_totp(self, requester: Requester, basis: EnrolmentBasis) -> NewSecret | Refusal:
        """Return a fresh secret, unusable until a code of it is confirmed."""
        subject = requester.subject
        if len(await self._enrolled(subject)) >= MAX_FACTORS:
            return _too_many()
        secret = totp.new_secret(secrets.token_bytes(20))
        enrolment = self._enrolment(requester, FactorKind.TOTP, basis)
        sealed = self._secret_box.encrypt(
            totp.TOTPSecret(secret).text(), (subject.workspace_id, subject.id, enrolment.id)
        )
        enrolment = replace(enrolment, encrypted_secret=sealed)
        await self._store.begin_enrolment(enrolment, now=requester.now)
        uri = totp.provisioning_uri(secret, account=subject.account, issuer=self._relying_party.name)
        return NewSecret(id=enrolment.id, secret=secret, uri=uri)

    async def confirm_totp(
        self, requester: Requester, enrolment_id: str, code: object, name: object = None
    ) -> Factor | Refusal:
        """Confirm a secret by a code of it. A wrong code may be tried again, within the person's attempts."""
        subject = requester.subject
        if (digits := totp.read_code(code)) is None:
            return NO_CODE
        closed = await self._store.reserve_attempt(
            subject.workspace_id, subject.id, TOTP_BUCKET, limit=self._totp_limit, now=requester.now
        )
        if closed is not None:
            await self._failed(requester, FailureReason.RATE_LIMITED, FactorKind.TOTP)
            return Refusal(code=RefusalCode.RATE_LIMITED, retry_after_seconds=whole_seconds(closed.retry_after))
        pending = await self._store.get_enrolment(
            subject.workspace_id, subject.id, subject.session, FactorKind.TOTP, id=enrolment_id, now=requester.now
        )
        if pending is None:
            return Refusal(
                code=RefusalCode.FACTOR_NOT_FOUND,
                detail=marked("This set-up has expired or was replaced. Begin again with a new QR code."),
            )
        last_step = await self._store.last_time_step(subject.workspace_id, subject.id)
        try:
            if not await self._still_holds(requester, pending):
                raise CeremonyError(FailureReason.FACTOR_NOT_ALLOWED)
            secret = self._secret_box.decrypt(pending.encrypted_secret, (subject.workspace_id, subject.id, pending.id))
            step = totp.matched_step(totp.read_secret(secret), digits, now=requester.now, last_step=last_step)
        except CeremonyError as error:
            return await self._failed(requester, error.reason, FactorKind.TOTP)
        factor_id = secrets.token_urlsafe(12)
        factor = TOTPFactor(
            id=factor_id,
            name=factor_name(name, FactorKind.TOTP),
            created_at=requester.now,
            last_used_at=None,
            encrypted_secret=self._secret_box.encrypt(secret, (subject.workspace_id, subject.id, factor_id)),
            last_step=step,
        )
        event = requester.event(
            EventName.FACTOR_ENROLLED,
            factor_kind=factor.kind,
            factor_id=factor.id,
            retention_years=self._catalogue.factor_retention_years,
            data={**person_language(requester), "name": factor.name},
        )
        added = await self._store.add_totp_factor(subject.workspace_id, subject.id, factor, begun=pending, event=event)
        return factor if added else await self._failed(requester, FailureReason.CODE_REPLAYED, FactorKind.TOTP)

    async def _still_holds(self, requester: Requester, pending: Enrolment) -> bool:
        """Whether what an enrolment began on still holds, as the store will ask once more when it adds the factor."""
        enrolled = await self._enrolled(requester.subject)
        before = any(factor.created_at <= pending.begun_at for factor in enrolled)
        return pending.basis.still_holds(has_factors=bool(enrolled), had_before=before)

    @staticmethod
    def _enrolment(
        requester: Requester, kind: FactorKind, basis: EnrolmentBasis, *, challenge: bytes = b""
    ) -> Enrolment:
        subject = requester.subject
        return Enrolment(
            id=secrets.token_urlsafe(16),
            workspace_id=subject.workspace_id,
            subject_id=subject.id,
            session=subject.session,
            kind=kind,
            basis=basis,
            ip=requester.ip,
            begun_at=requester.now,
            expires_at=requester.now + ENROLMENT_LIFETIME,
            challenge=challenge,
        )

    async def _failed(self, requester: Requester, reason: FailureReason, kind: FactorKind | None) -> Refusal:
        failed = requester.event(
            EventName.FAILED, factor_kind=kind, reason=reason.value, data={"ceremony": "enrolment"}
        )
        await self._throttle.log(requester.subject, failed)
        return USED_CODE if reason is FailureReason.CODE_REPLAYED else _FAILED[kind is FactorKind.TOTP]

    async def _enrolled(self, subject: Subject) -> tuple[Factor, ...]:
        return await self._store.list_factors(subject.workspace_id, subject.id)


def _too_many() -> Refusal:
    return Refusal(
        code=RefusalCode.FACTOR_CONFLICT,
        detail=Text(
            marked("You have %(number)s factors, the most there can be. Remove one you no longer use first."),
            {"number": MAX_FACTORS},
        ),
    )
