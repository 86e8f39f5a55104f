"""What the tests of the ceremonies share: one relying party, and enrolment with a virtual authenticator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack

import pytest

from stepup_middleware.ceremonies.authentication import VerifiedAssertion, begin_authentication, finish_authentication
from stepup_middleware.ceremonies.registration import RegisteredCredential, begin_registration, finish_registration
from stepup_middleware.core.factors import FactorKind, WebAuthnFactor
from stepup_middleware.core.relying_party import RelyingParty
from stepup_middleware.errors import CeremonyError, FailureReason
from stepup_middleware.testing import Deviations, VirtualAuthenticator

ORIGIN = "https://example.com"
OTHER_ORIGIN = "https://admin.example.com:8443"
RP = RelyingParty(id="example.com", name="AxisSynapse", origins=[ORIGIN, OTHER_ORIGIN])
USER_HANDLE = bytes(range(32))
CHALLENGE = bytes(range(100, 132))
OTHER_CHALLENGE = bytes(range(200, 232))
TIMEOUT = timedelta(seconds=60)


def failure_of(call: Callable[[], object]) -> FailureReason:
    """Run what must fail and return the reason it failed with."""
    with pytest.raises(CeremonyError) as caught:
        call()
    return caught.value.reason


def creation_options(kind: FactorKind, exclude: tuple[bytes, ...] = ()) -> dict[str, Any]:
    return begin_registration(
        RP,
        user_handle=USER_HANDLE,
        user_name="owner@axis.example",
        display_name="Owner",
        kind=kind,
        exclude=exclude,
        challenge=CHALLENGE,
        timeout=TIMEOUT,
    )


def register(
    authenticator: VirtualAuthenticator, kind: FactorKind, **deviations: Unpack[Deviations]
) -> RegisteredCredential:
    """Run a whole registration ceremony."""
    response = authenticator.create(creation_options(kind), origin=ORIGIN, **deviations)
    return finish_registration(RP, challenge=CHALLENGE, kind=kind, response=response)


def factor_of(credential: RegisteredCredential, kind: FactorKind, user_handle: bytes = USER_HANDLE) -> WebAuthnFactor:
    """Store a registered credential as the service would."""
    return WebAuthnFactor(
        id="factor",
        kind=kind,
        name="Key",
        created_at=datetime(2026, 11, 24, tzinfo=UTC),
        last_used_at=None,
        credential_id=credential.credential_id,
        public_key=credential.public_key,
        algorithm=credential.algorithm,
        sign_count=credential.sign_count,
        backup_eligible=credential.backup_eligible,
        backed_up=credential.backed_up,
        transports=credential.transports,
        aaguid=credential.aaguid,
        user_handle=user_handle,
    )


@dataclass
class Enrolled:
    """An authenticator together with the factor that was enrolled with it."""

    authenticator: VirtualAuthenticator
    factor: WebAuthnFactor

    def respond(self, **deviations: Unpack[Deviations]) -> dict[str, Any]:
        """Sign the challenge, honestly but for the deviations."""
        options = begin_authentication(RP, credentials=[self.factor], challenge=CHALLENGE, timeout=TIMEOUT)
        return self.authenticator.get(options, origin=ORIGIN, **deviations)

    def judge(self, response: Any, challenge: bytes = CHALLENGE) -> VerifiedAssertion:
        """Judge a response against this factor alone."""
        return finish_authentication(RP, challenge=challenge, credentials=[self.factor], response=response)

    def authenticate(self, **deviations: Unpack[Deviations]) -> VerifiedAssertion:
        """Run a whole authentication ceremony."""
        return self.judge(self.respond(**deviations))

    def refusal(self, **deviations: Unpack[Deviations]) -> FailureReason:
        """Run an authentication ceremony that must fail and return why it did."""
        return failure_of(lambda: self.authenticate(**deviations))

    def altered(self, **changes: Any) -> Enrolled:
        """Return the same authenticator against an altered record."""
        return Enrolled(self.authenticator, replace(self.factor, **changes))


def enrol(authenticator: VirtualAuthenticator, kind: FactorKind) -> Enrolled:
    """Register a credential and store it."""
    return Enrolled(authenticator, factor_of(register(authenticator, kind), kind))


def enrolled_hardware_key() -> Enrolled:
    return enrol(VirtualAuthenticator.hardware_key(), FactorKind.HARDWARE_KEY)


def enrolled_passkey() -> Enrolled:
    return enrol(VirtualAuthenticator.passkey(), FactorKind.PASSKEY)
