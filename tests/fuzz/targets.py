"""The targets of the fuzzer: each takes any bytes, and raises ``AssertionError`` when a promise is broken.

Nothing a target calls is replaced by something else. Whatever passes must be the one honest input that the
target knows; whatever else comes must be refused in the one way that callers are told of.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.responses import PlainTextResponse
from starlette.routing import Match, Route
from webauthn.helpers import base64url_to_bytes, parse_cbor
from webauthn.helpers.exceptions import InvalidCBORData

from stepup_middleware import Rule
from stepup_middleware.ceremonies.authentication import finish_authentication
from stepup_middleware.ceremonies.bounds import end_of_cbor_item, parse_authenticator_data
from stepup_middleware.ceremonies.registration import finish_registration
from stepup_middleware.ceremonies.totp import TOTPSecret, matched_step
from stepup_middleware.core.binding import check_details
from stepup_middleware.core.client_ip import canonical_ip, client_behind, trusted_networks
from stepup_middleware.core.factors import FactorKind, WebAuthnFactor
from stepup_middleware.core.relying_party import RelyingParty
from stepup_middleware.core.tokens import TokenCodec, TokenReference
from stepup_middleware.errors import CeremonyError
from stepup_middleware.rules import RuleTable
from tests.support import scope_of

CORPUS = Path(__file__).parent / "corpus"
RP = RelyingParty(id="example.com", name="AxisSynapse", origins=["https://example.com"])
CHALLENGE = bytes(range(100, 132))

Target = Callable[[bytes], None]


@cache
def known() -> dict[str, Any]:
    """Return the credential and the honest responses that the corpus was made with."""
    text = (Path(__file__).parent / "honest.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@cache
def credential() -> WebAuthnFactor:
    """Return the record of the credential."""
    record = known()["record"]
    return WebAuthnFactor(
        id="factor",
        kind=FactorKind(record["kind"]),
        name="Key",
        created_at=datetime(2026, 11, 24, 12, tzinfo=UTC),
        last_used_at=None,
        credential_id=base64url_to_bytes(record["credential_id"]),
        public_key=base64url_to_bytes(record["public_key"]),
        algorithm=record["algorithm"],
        sign_count=record["sign_count"],
        backup_eligible=record["backup_eligible"],
        backed_up=record["backed_up"],
        transports=(),
        aaguid=record["aaguid"],
        user_handle=base64url_to_bytes(record["user_handle"]),
    )


def _as_json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data.decode("latin-1")


@cache
def public_key() -> ec.EllipticCurvePublicKey:
    """Return the credential's key, read by another reader than the library's."""
    members = cbor2.loads(credential().public_key)
    x, y = (int.from_bytes(members[label], "big") for label in (-2, -3))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def assertion(data: bytes) -> None:
    """A response passes only when the credential's key has signed this very challenge for this very origin."""
    response = _as_json(data)
    try:
        verified = finish_authentication(RP, challenge=CHALLENGE, credentials=[credential()], response=response)
    except CeremonyError:
        return
    signed = verified.authenticator_data + sha256(verified.client_data_json).digest()
    public_key().verify(verified.signature, signed, ec.ECDSA(hashes.SHA256()))
    client_data = json.loads(verified.client_data_json)
    assert client_data["type"] == "webauthn.get"
    assert client_data["challenge"] == known()["challenge"]
    assert client_data["origin"] in RP.origins
    assert client_data.get("crossOrigin", False) is False
    assert verified.authenticator_data[:32] == sha256(RP.id.encode()).digest()
    assert verified.authenticator_data[32] & 0b101 == 0b101  # somebody was there, and was verified
    assert base64url_to_bytes(response["id"]) == credential().credential_id


def registration(data: bytes) -> None:
    """A registration passes only for this challenge, with its own id, a sane key and user verification."""
    response = _as_json(data)
    for kind in (FactorKind.PASSKEY, FactorKind.HARDWARE_KEY):
        try:
            new = finish_registration(RP, challenge=CHALLENGE, kind=kind, response=response)
        except CeremonyError:
            continue
        client_data = json.loads(base64url_to_bytes(response["response"]["clientDataJSON"]))
        assert client_data["challenge"] == known()["challenge"]
        assert client_data["origin"] in RP.origins
        assert base64url_to_bytes(response["id"]) == new.credential_id
        assert 0 < len(new.credential_id) <= 1023
        assert new.algorithm in (-7, -8, -257)
        signed = parse_cbor(base64url_to_bytes(response["response"]["attestationObject"]))["authData"]
        assert parse_authenticator_data(signed).user_verified
        assert kind is FactorKind.PASSKEY or not new.backup_eligible


def cbor(data: bytes) -> None:
    """Where our bounds find the end of an item, the decoder reads one item up to there and no further."""
    try:
        end = end_of_cbor_item(data, 0)
    except CeremonyError:
        return
    assert 0 < end <= len(data)
    try:
        parse_cbor(data[:end])
    except InvalidCBORData:
        return  # well-formed and still refused: text that is no UTF-8, two equal keys
    try:
        parse_cbor(data[: end - 1])
    except InvalidCBORData:
        return
    raise AssertionError("the decoder was content with less")


def authenticator_data(data: bytes) -> None:
    """Authenticator data has one reading, and all of its bytes belong to it."""
    try:
        parsed = parse_authenticator_data(data)
    except CeremonyError:
        return
    assert len(parsed.rp_id_hash) == 32
    if parsed.attested is None and not parsed.flags & 0x80:
        assert len(data) == 37
    if parsed.attested is not None:
        assert 0 < len(parsed.attested.credential_id) <= 1023
        assert parsed.attested.public_key in data


_CODEC = TokenCodec([bytes(range(32)), bytes(range(32, 64))])
_REFERENCE = TokenReference(77, bytes(range(16)))
_TOKEN = _CODEC.write(_REFERENCE).encode()


def token(data: bytes) -> None:
    """Only the one spelling of a token that we wrote reads, and it reads as what it was written for."""
    assert (_CODEC.read(data) is not None) == (data == _TOKEN)


_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
_NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def code(data: bytes) -> None:
    """Only six ASCII digits that the app shows now, or one step to either side, are a code."""
    from stepup_middleware.testing import totp_code

    text = data.decode("utf-8", "surrogateescape")
    step = int(_NOW.timestamp()) // 30
    right = {totp_code(_SECRET, _NOW.fromtimestamp((step + drift) * 30, _NOW.tzinfo)) for drift in (-1, 0, 1)}
    try:
        matched_step(TOTPSecret(_SECRET), text, now=_NOW, last_step=-1)
    except CeremonyError:
        assert text not in right
        return
    assert text in right


def _ran(request: Any) -> PlainTextResponse:
    return PlainTextResponse("ran")


_ROUTES = [
    (Route("/admin/delete", _ran, methods=["POST"]), RuleTable([Rule("POST", "/admin/delete", purpose="x")])),
    (Route("/x/{id}/act", _ran, methods=["POST"]), RuleTable([Rule("POST", "/x/{id}/act", purpose="x")])),
    (Route("/f/{rest:path}", _ran, methods=["POST"]), RuleTable([Rule("POST", "/f/{rest:path}", purpose="x")])),
]


def rule(data: bytes) -> None:
    """Whatever path a router takes for a ruled one, the rule takes for it too."""
    path = data.decode("utf-8", "replace")
    scope = scope_of("POST", path)
    for route, rules in _ROUTES:
        if route.matches(scope)[0] is Match.FULL:
            assert rules.match(rules.target(scope)) is not None, path


_NETWORKS = trusted_networks(["10.0.0.0/8", "fd00::/8"])


def address(data: bytes) -> None:
    """A header is an address or it is none; what it says of the past of a request changes nothing."""
    text = data.decode("latin-1")
    one = canonical_ip(text)
    assert one is None or canonical_ip(one) == one
    assert client_behind("192.0.2.1", [text], _NETWORKS) == "192.0.2.1"
    behind = client_behind("10.0.0.1", [text], _NETWORKS)
    assert behind is None or canonical_ip(behind) == behind
    assert client_behind("10.0.0.1", [text, "203.0.113.5"], _NETWORKS) == "203.0.113.5"


def details(data: bytes) -> None:
    """Details are pairs of text that can be stored, or they are refused."""
    try:
        checked = check_details(_as_json(data))
    except TypeError:
        return
    for label, value in checked:
        (label + value).encode("utf-8")


TARGETS: dict[str, Target] = {
    "address": address,
    "assertion": assertion,
    "authenticator_data": authenticator_data,
    "cbor": cbor,
    "code": code,
    "details": details,
    "registration": registration,
    "rule": rule,
    "token": token,
}
