"""The end of a WebAuthn ceremony."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from webauthn import verify_authentication_response

from stepup_middleware.ceremonies.authentication import finish_authentication
from tests.ceremonies.support import CHALLENGE, ORIGIN, RP, enrolled_passkey

from .harness import Benchmark, Figure, Sample, Scale, Sides, at_most, per_call
from .peers import need


@asynccontextmanager
async def _finishing(scale: Scale) -> AsyncIterator[Sides]:
    need("fido2")
    from fido2 import cbor
    from fido2.cose import CoseKey
    from fido2.server import Fido2Server
    from fido2.utils import websafe_encode
    from fido2.webauthn import AttestedCredentialData, PublicKeyCredentialRpEntity, UserVerificationRequirement

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

    relying_party = PublicKeyCredentialRpEntity(id=RP.id, name=RP.name)
    server = Fido2Server(relying_party, verify_origin=lambda origin: origin == ORIGIN)
    state = {"challenge": websafe_encode(CHALLENGE), "user_verification": UserVerificationRequirement.REQUIRED}
    key = CoseKey.parse(cbor.decode(factor.public_key))  # type: ignore[arg-type, unused-ignore] # bytes of a map
    credential = AttestedCredentialData.create(bytes(16), factor.credential_id, key)

    def fido2s() -> object:
        return server.authenticate_complete(state, [credential], response)

    count = scale.of(3_000)

    async def measured(call: Callable[[], object]) -> Sample:
        return per_call(call, count)

    yield {
        "ours": lambda: measured(ours),
        "py_webauthn": lambda: measured(theirs),
        "python-fido2": lambda: measured(fido2s),
    }


_WHAT = "WebAuthn finish with all checks, without the store"
_PEERS = "py_webauthn's verify; python-fido2's"

BENCHMARKS = (
    Benchmark(
        name="webauthn",
        sides=_finishing,
        figures=(
            Figure(_WHAT, _PEERS, at_most(1.25), "seconds", "ours", "py_webauthn"),
            Figure(_WHAT, _PEERS, at_most(0.21), "seconds", "ours", "python-fido2"),
        ),
        rounds=9,
    ),
)
