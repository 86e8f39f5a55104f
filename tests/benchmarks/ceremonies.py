"""The end of a WebAuthn ceremony."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from webauthn import verify_authentication_response

from stepup_middleware.ceremonies.authentication import finish_authentication
from tests.ceremonies.support import CHALLENGE, ORIGIN, RP, enrolled_passkey

from .harness import Benchmark, Figure, Sample, Scale, Sides, at_most, per_call


@asynccontextmanager
async def _finishing(scale: Scale) -> AsyncIterator[Sides]:
    person = enrolled_passkey()
    factor, response = person.factor, person.respond()

    def ours() -> object:
        return finish_authentication(RP, challenge=CHALLENGE, credentials=[factor], response=response)

    def theirs() -> object:
        return verify_authentication_response(
            credential=response,
            expected_challenge=CHALLENGE,
            expected_rp_id=RP.id,
            expected_origin=ORIGIN,
            credential_public_key=factor.public_key,
            credential_current_sign_count=factor.sign_count,
            require_user_verification=True,
        )

    async def measured_ours() -> Sample:
        return per_call(ours, scale.of(3_000))

    async def measured_theirs() -> Sample:
        return per_call(theirs, scale.of(3_000))

    yield {"ours": measured_ours, "py_webauthn": measured_theirs}


BENCHMARKS = (
    Benchmark(
        name="webauthn",
        sides=_finishing,
        figures=(
            Figure(
                "WebAuthn finish, all checks, without the store",
                "py_webauthn's own verify",
                at_most(1.3),
                "seconds",
                "ours",
                "py_webauthn",
            ),
        ),
        rounds=9,
    ),
)
