"""Signed notes (C2SP signed-note): a text, an empty line, and lines of signatures.

One spelling: what is parsed comes out byte for byte when it is written again, and everything else is refused.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass

LARGEST_NOTE = 256 * 1024  # bytes; a signature of ML-DSA-44 takes 3.3 kB
MOST_SIGNATURES = 64
LONGEST_NAME = 255  # bytes, what a cosigned message can carry
KEY_ID_BYTES = 4

_MARK = "\N{EM DASH} "


class NoteError(ValueError):
    """A text that is no note, checkpoint or key, or a signature that does not hold. Says what is wrong."""


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """A line of a note: who signed (``name`` and the 4 bytes of ``key_id``), and the signature."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        """Return the line with its newline."""
        return f"{_MARK}{self.name} {encode_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A signed note. ``text`` ends with a newline. Nobody has verified the signatures yet."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def __str__(self) -> str:
        """Return the whole note, as ``read_note`` takes it."""
        return f"{self.text}\n" + "".join(map(str, self.signatures))

    def signed_also(self, added: Iterable[NoteSignature]) -> Note:
        """Return the note with more signatures, each at most once."""
        return Note(self.text, tuple(dict.fromkeys((*self.signatures, *added))))


def read_note(raw: bytes | str) -> Note:
    """Parse a note. Raises ``NoteError``."""
    text, mark, signatures = _as_text(raw, LARGEST_NOTE).rpartition("\n\n")
    if not mark or not text:
        raise NoteError("a note is a text, an empty line, and lines of signatures")
    return Note(f"{text}\n", read_signatures(signatures))


def with_signatures_of(kept: str, other: str) -> str:
    """Return a note with the signatures of another one of the same text behind its own, by keys that it lacks.

    It is returned as it is where one of the two is no note, where they differ in text, and where no line finds room.
    """
    try:
        note, more = read_note(kept), read_note(other)
        has = {(line.name, line.key_id) for line in note.signatures}
        added = [line for line in more.signatures if (line.name, line.key_id) not in has]
        if note.text != more.text or not added:
            return kept
        return str(read_note(str(note.signed_also(added))))
    except NoteError:
        return kept


def read_signatures(raw: bytes | str) -> tuple[NoteSignature, ...]:
    """Parse the signature lines of a note, at least one and at most 64. Raises ``NoteError``."""
    *lines, end = _as_text(raw, LARGEST_NOTE).split("\n")
    if end or not 1 <= len(lines) <= MOST_SIGNATURES:
        raise NoteError(f"a note has from 1 to {MOST_SIGNATURES} lines of signatures, each with a newline at its end")
    return tuple(map(_read_signature, lines))


def check_name(name: str) -> str:
    """Return the name of a key. Raises ``NoteError`` for one that no note can carry."""
    if not name or "+" in name or any(character.isspace() or not character.isprintable() for character in name):
        raise NoteError("the name of a key has no spaces, no plus sign and no control characters: like example.com/log")
    if len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        raise NoteError(f"the name of a key has at most {LONGEST_NAME} bytes")
    return name


def encode_base64(raw: bytes) -> str:
    """Return base64 of RFC 4648 §4, with its padding."""
    return b64encode(raw).decode()


def decode_base64(text: str) -> bytes:
    """Return the bytes of base64 in its one spelling. Raises ``NoteError``."""
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not raw or encode_base64(raw) != text:
        raise NoteError("not base64 in its one spelling (RFC 4648 §4, with padding)")
    return raw


def _read_signature(line: str) -> NoteSignature:
    name, space, encoded = line.removeprefix(_MARK).partition(" ")
    if not line.startswith(_MARK) or not space:
        raise NoteError("a signature line is an em dash, a space, a name, a space and base64")
    raw = decode_base64(encoded)
    if len(raw) <= KEY_ID_BYTES:
        raise NoteError("a signature has 4 bytes of a key id, and more")
    return NoteSignature(check_name(name), raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:])


def _as_text(raw: bytes | str, limit: int) -> str:
    """Return text that UTF-8 can carry and that has no control character but the newline."""
    if len(raw) > limit:
        raise NoteError(f"a note has at most {limit} bytes")
    try:
        encoded = raw.encode() if isinstance(raw, str) else raw
        text = encoded.decode()
    except UnicodeError:
        raise NoteError("a note is text in UTF-8") from None
    if len(encoded) > limit:
        raise NoteError(f"a note has at most {limit} bytes")
    if any(character < " " and character != "\n" for character in text):
        raise NoteError("a note has no control characters but newlines")
    return text
