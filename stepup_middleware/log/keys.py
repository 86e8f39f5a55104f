"""Keys of logs and witnesses: how they are written, what they sign, and how a signature is verified.

Three types of C2SP signed-note: Ed25519 over the text (0x01), and cosignatures with a time of Ed25519 (0x04) and of
ML-DSA-44 (0x06, FIPS 204). A log signs with the first and the last, so that its checkpoints outlive Ed25519.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from stepup_middleware.errors import ConfigurationError

from .checkpoints import LATEST_TIME, Checkpoint, ed25519_message, mldsa44_message, read_checkpoint
from .notes import KEY_ID_BYTES, Note, NoteError, NoteSignature, check_name, decode_base64, encode_base64

_SEED_BYTES = 32
_PRIVATE = "PRIVATE+KEY+"
_KEY_ID = re.compile(r"[0-9a-f]{8}", re.ASCII)
_LARGEST_FILE = 64 * 1024  # characters


class SignatureType(IntEnum):
    """How a signature is made: the byte that C2SP signed-note assigns."""

    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    MLDSA44_COSIGNATURE = 0x06


LOG_TYPES = (SignatureType.ED25519, SignatureType.MLDSA44_COSIGNATURE)
WITNESS_TYPES = (SignatureType.ED25519_COSIGNATURE, SignatureType.MLDSA44_COSIGNATURE)

_PUBLIC_BYTES = {
    SignatureType.ED25519: 32,
    SignatureType.ED25519_COSIGNATURE: 32,
    SignatureType.MLDSA44_COSIGNATURE: 1312,
}


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name, as a *vkey* writes it: ``example.com/log+f4b2d8a1+AT...``."""

    name: str
    type: SignatureType
    public_key: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.public_key) != _PUBLIC_BYTES[self.type]:
            raise NoteError(f"a public key of type {self.type.value} has {_PUBLIC_BYTES[self.type]} bytes")

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that signature lines name the key by."""
        return key_id(self.name, self.type, self.public_key)

    def __str__(self) -> str:
        """Return the vkey."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([self.type]) + self.public_key)}"

    def made(self, line: NoteSignature) -> bool:
        """Tell whether a signature line names this key."""
        return line.name == self.name and line.key_id == self.key_id

    def verify(self, text: str, signature: bytes) -> int | None:
        """Return the time that a cosignature states, in seconds since 1970; None where the type has none.

        Raises ``NoteError`` unless the signature holds.
        """
        try:
            if self.type is SignatureType.ED25519:
                Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text.encode())
                return None
            at_seconds, proper = int.from_bytes(signature[:8], "big"), signature[8:]
            if at_seconds > LATEST_TIME:
                raise NoteError(f"the time of a cosignature by {self.name} is out of range")
            checkpoint = read_checkpoint(text)
            if self.type is SignatureType.ED25519_COSIGNATURE:
                message = ed25519_message(checkpoint, at_seconds)
                Ed25519PublicKey.from_public_bytes(self.public_key).verify(proper, message)
            else:
                message = mldsa44_message(self.name, checkpoint, at_seconds)
                MLDSA44PublicKey.from_public_bytes(self.public_key).verify(proper, message)
        except (InvalidSignature, ValueError) as error:
            if isinstance(error, NoteError):
                raise
            raise NoteError(f"the signature by {self.name} ({self.key_id.hex()}) does not hold") from None
        return at_seconds


class SigningKey:
    """A private key with its name. Its text is what golang.org/x/mod/sumdb/note reads, too."""

    __slots__ = ("_private", "_seed", "verifier")

    def __init__(self, name: str, type_: SignatureType, seed: bytes) -> None:
        if len(seed) != _SEED_BYTES or len(set(seed)) < 10:
            raise NoteError("the seed of a key is 32 random bytes")
        self._seed = seed
        self._private: Ed25519PrivateKey | MLDSA44PrivateKey
        if type_ is SignatureType.MLDSA44_COSIGNATURE:
            self._private = MLDSA44PrivateKey.from_seed_bytes(seed)
        else:
            self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, type_, self._private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str, type_: SignatureType) -> SigningKey:
        """Return a new key."""
        if type_ is SignatureType.MLDSA44_COSIGNATURE:
            return cls(name, type_, MLDSA44PrivateKey.generate().private_bytes_raw())
        return cls(name, type_, Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def name(self) -> str:
        return self.verifier.name

    def secret_text(self) -> str:
        """Return the line of a key file. It is the secret itself."""
        type_ = self.verifier.type
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{encode_base64(bytes([type_]) + self._seed)}"

    def sign(self, checkpoint: Checkpoint, at_seconds: int) -> NoteSignature:
        """Return the signature line for a checkpoint. ``at_seconds`` since 1970 is in it where the type has a time."""
        verifier = self.verifier
        if verifier.type is SignatureType.ED25519:
            return NoteSignature(self.name, verifier.key_id, self._private.sign(checkpoint.text.encode()))
        if not 0 < at_seconds <= LATEST_TIME:
            raise NoteError("a cosignature has a time after 1970")
        if verifier.type is SignatureType.ED25519_COSIGNATURE:
            message = ed25519_message(checkpoint, at_seconds)
        else:
            message = mldsa44_message(self.name, checkpoint, at_seconds)
        return NoteSignature(self.name, verifier.key_id, at_seconds.to_bytes(8, "big") + self._private.sign(message))

    def __repr__(self) -> str:
        return f"<SigningKey {self.name} {self.verifier.key_id.hex()}>"


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A signature that holds. ``at_seconds`` is the time that its key states, None where its type has none."""

    key: VerifierKey
    at_seconds: int | None


def key_id(name: str, type_: int, public_key: bytes) -> bytes:
    """Return the 4 bytes by which signature lines name a key."""
    return sha256(name.encode() + b"\n" + bytes([type_]) + public_key).digest()[:KEY_ID_BYTES]


def verify_note(note: Note, keys: Iterable[VerifierKey]) -> list[VerifiedSignature]:
    """Return the signatures of a note by these keys, none where there is none; those by others are ignored.

    Raises ``NoteError`` where a signature names one of the keys and does not hold: such a note does not count.
    """
    known = list(keys)
    return [
        VerifiedSignature(key, key.verify(note.text, line.signature))
        for line in note.signatures
        for key in known
        if key.made(line)
    ]


def sign_checkpoint(checkpoint: Checkpoint, keys: Sequence[SigningKey], at_seconds: int) -> Note:
    """Return a checkpoint as a note, signed with each of the keys."""
    return Note(checkpoint.text, tuple(key.sign(checkpoint, at_seconds) for key in keys))


def read_verifier_key(text: str) -> VerifierKey:
    """Parse one vkey. Raises ``NoteError``."""
    if text.startswith(_PRIVATE):
        raise NoteError("this is a private key: give the verifier the public one, which `stepup keygen` printed")
    name, type_, public_key = _read_key(text)
    key = VerifierKey(name, type_, public_key)
    if str(key) != text:
        raise NoteError("the key id of this vkey is not that of its name and key")
    return key


def read_verifier_keys(text: str) -> tuple[VerifierKey, ...]:
    """Parse vkeys, one a line; ``#`` begins a comment line. Raises ``NoteError`` for none, and for a private one."""
    keys = tuple(dict.fromkeys(map(read_verifier_key, _lines(text))))
    if not keys:
        raise NoteError("there is no vkey here: one a line is expected, like example.com/log+f4b2d8a1+AT...")
    return keys


def read_signing_keys(text: str, types: Collection[SignatureType]) -> tuple[SigningKey, ...]:
    """Parse a key file: keys of one name and of these types, each type at most once.

    Raises ``ConfigurationError``, which never quotes what it read.
    """
    keys = []
    try:
        for line in _lines(text):
            if not line.startswith(_PRIVATE):
                raise NoteError("a line is no private key as `stepup keygen` writes it")
            name, type_, seed = _read_key(line.removeprefix(_PRIVATE))
            keys.append(SigningKey(name, type_, seed))
            if keys[-1].secret_text() != line:
                raise NoteError("the key id of a line is not that of its name and key")
    except NoteError as error:
        raise ConfigurationError(f"this is no key file: {error}") from None
    found = [key.verifier.type for key in keys]
    if (
        not keys
        or len({key.name for key in keys}) != 1
        or len(set(found)) != len(found)
        or not set(found) <= set(types)
    ):
        wanted = " or ".join(f"0x{type_:02x}" for type_ in types)
        raise ConfigurationError(
            f"a key file has keys of one name, of type {wanted}, each once: make it with `stepup keygen`"
        )
    return tuple(keys)


def _read_key(text: str) -> tuple[str, SignatureType, bytes]:
    name, plus, rest = text.partition("+")
    key_id_, second, encoded = rest.partition("+")
    if not plus or not second or _KEY_ID.fullmatch(key_id_) is None:
        raise NoteError("a key is a name, 8 hexadecimal digits and base64, joined with plus signs")
    raw = decode_base64(encoded)
    try:
        return check_name(name), SignatureType(raw[0]), raw[1:]
    except ValueError as error:
        if isinstance(error, NoteError):
            raise
        raise NoteError(f"keys of type 0x{raw[0]:02x} are not supported; 0x01, 0x04 and 0x06 are") from None


def _lines(text: str) -> list[str]:
    if len(text) > _LARGEST_FILE:
        raise NoteError("this is too long for a file of keys")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
