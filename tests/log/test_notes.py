"""Notes, checkpoints and keys: the published examples, an independent signer and verifier, one spelling."""

from __future__ import annotations

import base64
import hashlib
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.log.checkpoints import Checkpoint, read_checkpoint
from stepup_middleware.log.keys import (
    LOG_TYPES,
    WITNESS_TYPES,
    SignatureType,
    SigningKey,
    VerifierKey,
    read_signing_keys,
    read_verifier_key,
    read_verifier_keys,
    sign_checkpoint,
    verify_note,
)
from stepup_middleware.log.merkle import EMPTY_ROOT, LARGEST_SIZE
from stepup_middleware.log.notes import MOST_SIGNATURES, Note, NoteError, NoteSignature, read_note
from stepup_middleware.log.witness.client import MOST_WITNESSES

# The example of C2SP signed-note.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# That of C2SP tlog-checkpoint with the cosignature of tlog-cosignature.
EXAMPLE_CHECKPOINT = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+"
    "zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0"
    "xUe+mbIUBkBIfZ+qnA==\n"
)
ORIGIN = "log.example.com/stepup"
AT = 1_795_000_000
KEYS = {type_: SigningKey.generate(ORIGIN, type_) for type_ in SignatureType}
VERIFIERS = [key.verifier for key in KEYS.values()]
CHECKPOINT = Checkpoint(ORIGIN, 20852163, hashlib.sha256(b"root").digest())
NOTE = sign_checkpoint(CHECKPOINT, list(KEYS.values()), AT)
CHECKPOINTS = st.builds(
    Checkpoint,
    st.sampled_from((ORIGIN, "an origin with spaces + more", "é")),
    st.integers(0, LARGEST_SIZE),
    st.binary(min_size=32, max_size=32),
    st.sampled_from(((), ("one line",), ("one line", "— another"))),
)


def test_the_published_note_holds_for_the_published_key() -> None:
    key, note = read_verifier_key(EXAMPLE_KEY), read_note(EXAMPLE_NOTE)
    assert str(key) == EXAMPLE_KEY
    assert str(note) == EXAMPLE_NOTE
    (verified,) = verify_note(note, [key])
    assert verified.key == key
    assert verified.at_seconds is None
    with pytest.raises(NoteError, match="does not hold"):
        verify_note(Note(note.text.upper(), note.signatures), [key])


def test_the_published_checkpoint_is_read_and_written_alike() -> None:
    note = read_note(EXAMPLE_CHECKPOINT)
    checkpoint = read_checkpoint(note.text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text == note.text
    assert str(note) == EXAMPLE_CHECKPOINT
    cosignature = note.signatures[1].signature
    assert struct.unpack(">Q", cosignature[:8]) == (1679315147,)  # the time that the text of the standard shows


def independent_message(type_: int, name: str, checkpoint: Checkpoint, at: int) -> bytes:
    """What is signed, written anew from the standards."""
    origin, text = checkpoint.origin.encode(), checkpoint.text.encode()
    if type_ == 1:
        return text
    if type_ == 4:
        return b"cosignature/v1\ntime %d\n" % at + text
    head = struct.pack(f">12sB{len(name.encode())}sQ", b"subtree/v1\n\0", len(name.encode()), name.encode(), at)
    tail = struct.pack(f">B{len(origin)}sQQ32s", len(origin), origin, 0, checkpoint.size, checkpoint.root)
    return head + tail


@given(CHECKPOINTS, st.sampled_from(SignatureType), st.integers(1, 2**63 - 1))
@settings(max_examples=60, deadline=None)
def test_an_independent_verifier_accepts_what_is_signed(checkpoint: Checkpoint, type_: SignatureType, at: int) -> None:
    line = KEYS[type_].sign(checkpoint, at)
    public = KEYS[type_].verifier.public_key
    assert line.key_id == hashlib.sha256(ORIGIN.encode() + b"\n" + bytes([type_]) + public).digest()[:4]
    signature = line.signature
    if type_ != SignatureType.ED25519:
        assert struct.unpack(">Q", signature[:8]) == (at,)
        signature = signature[8:]
    message = independent_message(type_, ORIGIN, checkpoint, at)
    if type_ is SignatureType.MLDSA44_COSIGNATURE:
        assert (len(public), len(signature)) == (1312, 2420)
        MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    else:
        assert (len(public), len(signature)) == (32, 64)
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)


@given(CHECKPOINTS, st.sampled_from(SignatureType), st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32))
@settings(max_examples=40, deadline=None)
def test_what_an_independent_signer_made_is_accepted(
    checkpoint: Checkpoint, type_: SignatureType, at: int, seed: bytes
) -> None:
    message = independent_message(type_, "wärter.example", checkpoint, at)
    if type_ is SignatureType.MLDSA44_COSIGNATURE:
        private = MLDSA44PrivateKey.from_seed_bytes(seed)
        public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    else:
        other = Ed25519PrivateKey.from_private_bytes(seed)
        public, signature = other.public_key().public_bytes_raw(), other.sign(message)
    key = VerifierKey("wärter.example", type_, public)
    timed = signature if type_ is SignatureType.ED25519 else struct.pack(">Q", at) + signature
    note = Note(checkpoint.text, (NoteSignature("wärter.example", key.key_id, timed),))
    (verified,) = verify_note(read_note(str(note)), [read_verifier_key(str(key))])
    assert verified.at_seconds == (None if type_ is SignatureType.ED25519 else at)


@pytest.mark.parametrize("type_", SignatureType)
def test_no_changed_bit_of_a_checkpoint_or_of_its_signature_holds(type_: SignatureType) -> None:
    key = KEYS[type_].verifier
    (line,) = sign_checkpoint(CHECKPOINT, [KEYS[type_]], AT).signatures
    changed = [
        Checkpoint(ORIGIN + "x", CHECKPOINT.size, CHECKPOINT.root),
        Checkpoint(ORIGIN, CHECKPOINT.size + 1, CHECKPOINT.root),
        Checkpoint(ORIGIN, CHECKPOINT.size, EMPTY_ROOT),
    ]
    for checkpoint in changed:
        with pytest.raises(NoteError):
            verify_note(Note(checkpoint.text, (line,)), [key])
    places = {0, 1, 7, 8, 9, 40, len(line.signature) - 1}
    for place in places:
        altered = bytearray(line.signature)
        altered[place] ^= 1
        with pytest.raises(NoteError):
            verify_note(Note(CHECKPOINT.text, (NoteSignature(ORIGIN, line.key_id, bytes(altered)),)), [key])
    for length in (0, 1, 7, 8, len(line.signature) - 1):
        with pytest.raises(NoteError):
            key.verify(CHECKPOINT.text, line.signature[:length])
    with pytest.raises(NoteError):
        key.verify(CHECKPOINT.text, line.signature + b"\0")


def test_one_key_of_a_log_is_no_key_of_another_name_or_type() -> None:
    """A name and a key id name a key: a line of another is ignored, never tried."""
    verifier = KEYS[SignatureType.MLDSA44_COSIGNATURE].verifier
    renamed = VerifierKey("other.example", verifier.type, verifier.public_key)
    assert verify_note(NOTE, [renamed]) == []
    line = next(line for line in NOTE.signatures if verifier.made(line))
    forged = Note(NOTE.text, (NoteSignature("other.example", renamed.key_id, line.signature),))
    with pytest.raises(NoteError, match="does not hold"):  # the message has the cosigner's name
        verify_note(forged, [renamed])


def test_signatures_of_strangers_are_ignored_and_a_bad_one_of_a_known_key_spoils_the_note() -> None:
    stranger = SigningKey.generate("stranger.example", SignatureType.ED25519)
    note = NOTE.signed_also([stranger.sign(CHECKPOINT, AT)])
    assert [each.key for each in verify_note(note, VERIFIERS)] == VERIFIERS
    assert verify_note(note, []) == []
    bad = NoteSignature(ORIGIN, VERIFIERS[0].key_id, b"\0" * 64)
    with pytest.raises(NoteError, match="does not hold"):
        verify_note(note.signed_also([bad]), VERIFIERS)
    assert note.signed_also(note.signatures) == note


@given(st.text(alphabet=st.sampled_from("a \n—+=A\t\r\0é\u2028"), max_size=40) | st.binary(max_size=40))
@settings(max_examples=500)
def test_a_note_that_is_read_comes_out_as_it_came(raw: str | bytes) -> None:
    try:
        note = read_note(raw)
    except NoteError:
        return
    assert str(note) == (raw if isinstance(raw, str) else raw.decode())


@given(st.integers(0, len(str(NOTE).encode()) - 1), st.integers(0, 255))
@settings(max_examples=400, deadline=None)
def test_no_byte_of_a_note_can_be_changed_unnoticed(place: int, byte: int) -> None:
    original = str(NOTE).encode()
    changed = original[:place] + bytes([byte]) + original[place + 1 :]
    if changed == original:
        return
    try:
        note = read_note(changed)
        verified = verify_note(note, VERIFIERS)
    except NoteError:
        return
    assert note.text == NOTE.text  # another line's name or key id: one signature fewer, never another text
    assert len(verified) == len(VERIFIERS) - 1


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("", "empty line"),
        ("text\n", "empty line"),
        ("text\n\n", "lines of signatures"),
        ("\n\n— a AAAAAAAA\n", "empty line"),
        ("text\n\n— a AAAAAAAA", "newline"),
        ("text\n\n- a AAAAAAAA\n", "em dash"),
        ("text\n\n— a  AAAAAAAA\n", "base64"),
        ("text\n\n— a AAAAAAA\n", "base64"),
        ("text\n\n— a AAAAAAB=\n", "base64"),
        ("text\n\n— a AAAA_AAA\n", "base64"),
        ("text\n\n— a AAAAAA==\n", "key id"),
        ("text\n\n— a+b AAAAAAAA\n", "plus"),
        ("text\n\n— \u00a0 AAAAAAAA\n", "spaces"),
        ("te\txt\n\n— a AAAAAAAA\n", "control"),
        ("te\rxt\n\n— a AAAAAAAA\n", "control"),
        (b"\xff\n\n\xe2\x80\x94 a AAAAAAAA\n", "UTF-8"),
        ("\ud800\n\n— a AAAAAAAA\n", "UTF-8"),
        ("text\n\n" + "— a AAAAAAAA\n" * (MOST_SIGNATURES + 1), "lines of signatures"),
        ("x" * 270_000 + "\n\n— a AAAAAAAA\n", "at most"),
        ("é" * 140_000 + "\n\n— a AAAAAAAA\n", "at most"),
        (f"text\n\n— {'n' * 256} AAAAAAAA\n", "at most 255"),
    ],
)
def test_what_is_no_note_is_refused_with_its_reason(raw: str | bytes, problem: str) -> None:
    with pytest.raises(NoteError, match=problem):
        read_note(raw)


def test_the_signatures_of_as_many_witnesses_as_a_log_may_have_fit_a_note() -> None:
    lines = [
        NoteSignature(f"witness-{number}.{'example' * 20}", bytes(4), bytes(8 + length))
        for number in range(MOST_WITNESSES)
        for length in (64, 2420)
    ]
    note = NOTE.signed_also(lines)
    assert len(read_note(str(note)).signatures) == len(NOTE.signatures) + 2 * MOST_WITNESSES


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n1\n",
        f"origin\n01\n{'A' * 43}=\n",
        f"origin\n+1\n{'A' * 43}=\n",
        f"origin\n\u0661\n{'A' * 43}=\n",
        f"origin\n{LARGEST_SIZE + 1}\n{'A' * 43}=\n",
        f"origin\n{'9' * 5000}\n{'A' * 43}=\n",
        f"origin\n1\n{'A' * 42}B=\n",
        f"origin\n1\n{'A' * 44}\n",
        f"origin\n1\n{'A' * 43}=",
        f"\n1\n{'A' * 43}=\n",
        f"origin\n1\n{'A' * 43}=\n\nextension\n",
        f"{'o' * 256}\n1\n{'A' * 43}=\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        read_checkpoint(text)


@given(CHECKPOINTS)
def test_a_checkpoint_that_is_written_is_read_back(checkpoint: Checkpoint) -> None:
    assert read_checkpoint(checkpoint.text) == checkpoint


def private_part(key: SigningKey) -> str:
    """Return what is secret in the line of a key: base64, in which a plus sign may stand, too."""
    *_, encoded = key.secret_text().split("+", 4)
    assert len(encoded) == 44
    return encoded


def test_keys_are_read_back_and_each_file_says_what_it_is_for() -> None:
    secret = "# a comment\n" + "\n".join(KEYS[type_].secret_text() for type_ in LOG_TYPES) + "\n"
    keys = read_signing_keys(secret, LOG_TYPES)
    assert [key.verifier for key in keys] == [KEYS[type_].verifier for type_ in LOG_TYPES]
    with pytest.raises(ConfigurationError, match="of type 0x04 or 0x06"):
        read_signing_keys(secret, WITNESS_TYPES)
    public = "\n".join(["# log", *(str(key.verifier) for key in keys)] * 2)
    assert read_verifier_keys(public) == tuple(key.verifier for key in keys)
    with pytest.raises(NoteError, match="private key"):
        read_verifier_keys(secret)
    with pytest.raises(ConfigurationError, match="no private key"):
        read_signing_keys(public, LOG_TYPES)
    for key in keys:
        assert private_part(key) not in repr(key)


def test_a_bad_key_is_refused_with_its_reason_and_a_bad_private_one_without_being_quoted() -> None:
    name, id_, encoded = EXAMPLE_KEY.split("+")
    raw = base64.b64decode(encoded)
    for vkey, problem in (
        ("", "joined with plus signs"),
        (f"{name}+530d903b+{encoded}", "key id"),
        (f"{name}+530D903A+{encoded}", "joined"),
        (f"{name}x+{id_}+{encoded}", "key id"),
        (f"{name}+{id_}+{base64.b64encode(raw[:-1]).decode()}", "32 bytes"),
        (f"{name}+{id_}+{base64.b64encode(bytes([2]) + raw[1:]).decode()}", "type 0x02"),
        (f"{name}+{id_}+{encoded}=", "base64"),
    ):
        with pytest.raises(NoteError, match=problem):
            read_verifier_key(vkey)
    secret = KEYS[SignatureType.ED25519].secret_text()
    for text in ("", secret[:-4] + "AAA=", f"{secret}\n{secret}", secret.replace(ORIGIN, "other.example")):
        with pytest.raises(ConfigurationError) as refused:
            read_signing_keys(text, LOG_TYPES)
        assert private_part(KEYS[SignatureType.ED25519])[:20] not in str(refused.value)
    with pytest.raises(NoteError, match="32 random bytes"):
        SigningKey(ORIGIN, SignatureType.ED25519, b"\0" * 32)
    with pytest.raises(NoteError, match="at most 255"):
        SigningKey.generate("n" * 256, SignatureType.MLDSA44_COSIGNATURE)
    with pytest.raises(NoteError, match="after 1970"):
        KEYS[SignatureType.MLDSA44_COSIGNATURE].sign(CHECKPOINT, 0)
