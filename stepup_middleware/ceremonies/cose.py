"""Judge a credential's public key: one of three algorithms, with sane parameters.

``webauthn`` loads whatever COSE_Key it meets and takes the algorithm from it. Under ``none`` attestation
it never even loads the key, so that a point off the curve or a 512-bit RSA modulus would be stored.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from webauthn.helpers import (
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    parse_cbor,
    verify_signature,
)
from webauthn.helpers.cose import COSECRV, COSEAlgorithmIdentifier
from webauthn.helpers.decode_credential_public_key import (
    DecodedEC2PublicKey,
    DecodedMLDSAPublicKey,
    DecodedOKPPublicKey,
    DecodedRSAPublicKey,
)

from stepup_middleware.errors import CeremonyError, FailureReason

DecodedKey = DecodedEC2PublicKey | DecodedOKPPublicKey | DecodedRSAPublicKey | DecodedMLDSAPublicKey

# The same list is offered as pubKeyCredParams, checked at registration and checked again at use.
SUPPORTED_ALGORITHMS = (
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
)

MAX_COSE_KEY = 1024  # bytes; an RSA-4096 key takes about 530
RSA_BITS = range(2048, 4097)  # NIST SP 800-131A §3; above it a verification costs milliseconds
RSA_EXPONENTS = range(65_537, 1 << 32, 2)  # odd and at least 2**16 + 1 (FIPS 186-5 §5.4)

# The eight Ed25519 points of small order, in every encoding, sign bit cleared: under such a "key" anyone
# can make a signature for some or all messages, and the curve library does not refuse them.
_ED25519_SMALL_ORDER = frozenset(
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


def unsupported(note: str) -> CeremonyError:
    """Build the error for a key that must not be used."""
    return CeremonyError(FailureReason.UNSUPPORTED_KEY, note)


def decode_key(cose_key: bytes) -> DecodedKey:
    """Decode a COSE_Key (RFC 9052 §7) and check its algorithm, type, curve and sizes, without loading it.

    Raises ``CeremonyError`` (``UNSUPPORTED_KEY``) for anything but ES256 on P-256, EdDSA on Ed25519 and
    RS256 with 2048 to 4096 bits (WebAuthn L3 §5.8.5).
    """
    # A leading 0x04 would make the decoder read a raw U2F point; a COSE_Key is a CBOR map (major type 5).
    if not cose_key or len(cose_key) > MAX_COSE_KEY or cose_key[0] >> 5 != 5:
        raise unsupported("not a COSE_Key")
    try:
        key = decode_credential_public_key(cose_key)
    except Exception as error:
        raise unsupported(type(error).__name__) from None
    # CBOR's true equals 1 in Python; only integers name a type or an algorithm.
    if type(key.alg) is not int or type(key.kty) is not int or key.alg not in SUPPORTED_ALGORITHMS:
        raise unsupported("algorithm")
    if not _sane(key):
        raise unsupported("key parameters")
    return key


def decode_new_key(cose_key: bytes) -> DecodedKey:
    """Decode a key that is to be registered, with what need not be asked again at each use.

    Its labels are integers or text, so that every reader finds the same members, and it loads, which checks that an EC
    point is on its curve. ``cose_key`` is one bounded CBOR item, as ``parse_authenticator_data`` cuts it out. Raises
    ``CeremonyError`` (``UNSUPPORTED_KEY``).
    """
    key = decode_key(cose_key)
    try:
        labels = parse_cbor(cose_key)
        decoded_public_key_to_cryptography(key)
    except Exception as error:
        raise unsupported(type(error).__name__) from None
    if any(type(label) not in (int, str) for label in labels):
        raise unsupported("label")
    return key


def _sane(key: DecodedKey) -> bool:
    match key:
        case DecodedEC2PublicKey(x=bytes(), y=bytes()):
            return (
                key.alg == COSEAlgorithmIdentifier.ECDSA_SHA_256
                and key.crv == COSECRV.P256
                and len(key.x) == len(key.y) == 32
            )
        case DecodedOKPPublicKey(x=bytes()):
            return (
                key.alg == COSEAlgorithmIdentifier.EDDSA
                and key.crv == COSECRV.ED25519
                and len(key.x) == 32
                and key.x[:31] + bytes([key.x[31] & 0x7F]) not in _ED25519_SMALL_ORDER
            )
        case DecodedRSAPublicKey(n=bytes(), e=bytes()):
            modulus, exponent = int.from_bytes(key.n, "big"), int.from_bytes(key.e, "big")
            return (
                key.alg == COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256
                and modulus.bit_length() in RSA_BITS
                and modulus & 1 == 1
                and exponent in RSA_EXPONENTS
            )
    return False


@lru_cache(maxsize=256)
def load_key(cose_key: bytes) -> tuple[PublicKeyTypes, COSEAlgorithmIdentifier]:
    """Return a supported key, loaded, and its algorithm. Keys come again and again, and loading takes as long
    as a verification: it checks that an EC point is on its curve. Raises what decoding and loading raise.
    """
    key = decode_key(cose_key)
    return decoded_public_key_to_cryptography(key), COSEAlgorithmIdentifier(key.alg)


def signature_holds(cose_key: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether ``signature`` over ``message`` verifies under a supported key; never raises."""
    try:
        key, algorithm = load_key(cose_key)
        verify_signature(public_key=key, signature_alg=algorithm, signature=signature, data=message)
    except Exception:
        return False
    return True


def verify_assertion_signature(
    public_key: bytes, authenticator_data: bytes, client_data_json: bytes, signature: bytes
) -> bool:
    """Verify a kept assertion again, years later and offline (WebAuthn L3 §7.2 steps 20 and 21).

    ``public_key`` is the COSE_Key. Tells whether the signature holds under a supported key; never raises.
    The caller compares what was signed, the challenge above all.
    """
    message = authenticator_data + sha256(client_data_json).digest()
    return signature_holds(public_key, signature, message)
