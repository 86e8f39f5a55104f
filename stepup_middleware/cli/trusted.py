"""What an auditor hands to a command: vkeys, and checkpoints that were kept elsewhere; texts or files of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.log.checkpoints import Checkpoint, read_checkpoint
from stepup_middleware.log.keys import VerifierKey, read_verifier_keys, verify_note
from stepup_middleware.log.notes import NoteError, read_note

_MARK = "\N{EM DASH} "
_LARGEST = 64 * 1024 * 1024  # bytes of a file of checkpoints


class TwoHistories(Exception):
    """The kept checkpoints contradict each other: whoever signed them has shown two logs."""


def add_trust(command: argparse.ArgumentParser) -> None:
    """Add ``--vkey``, ``--quorum``, ``--checkpoint`` and ``--rp-id`` to a command."""
    command.add_argument(
        "--vkey",
        action="append",
        default=[],
        metavar="KEY_OR_FILE",
        help="a trusted public key of the log or of a witness, or a file of them; can be repeated",
    )
    command.add_argument("--quorum", type=int, help="how many of the trusted witnesses must have cosigned (default: 1)")
    command.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="FILE_OR_TEXT",
        help="checkpoints that were kept outside the database; can be repeated",
    )
    command.add_argument("--rp-id", help="the relying-party id that the proofs must be for")


def read_trust(options: argparse.Namespace) -> Trust:
    """Return whom the auditor trusts.

    Raises ``ConfigurationError`` for what cannot be read, is signed by none of the keys, or cannot be had of them;
    ``TwoHistories``.
    """
    trust = Trust.among([key for text in options.vkey for key in _keys(text)], rp_id=options.rp_id)
    kept = [checkpoint for text in options.checkpoint for checkpoint in _kept(text, trust)]
    known: dict[tuple[str, int], bytes] = {}
    for checkpoint in kept:
        if known.setdefault((checkpoint.origin, checkpoint.size), checkpoint.root) != checkpoint.root:
            raise TwoHistories(f"two checkpoints of {checkpoint.size} leaves were kept, with different roots")
    return replace(trust, quorum=_quorum(options.quorum, trust), checkpoints=kept)


def _quorum(asked: int | None, trust: Trust) -> int:
    if asked is None:
        return 1
    if asked < 1:
        raise ConfigurationError(f"--quorum {asked}: at least 1; to ask for no witness, give no vkey of one")
    if asked > (there := len({key.name for key in trust.witness_keys})):
        raise ConfigurationError(f"--quorum {asked}: --vkey names {there} witnesses: give those of all")
    return asked


def _keys(text: str) -> Sequence[VerifierKey]:
    try:
        return read_verifier_keys(text if "+" in text else Path(text).read_text(encoding="utf-8"))
    except NoteError as error:
        raise ConfigurationError(f"--vkey {text[:80]}: {error}") from None


def _kept(text: str, trust: Trust) -> Iterator[Checkpoint]:
    """Yield the checkpoints of a file, or of a text: notes one after another, or three lines without a signature.

    Where the auditor has keys of a log, its checkpoints must be signed by one.
    """
    where = "--checkpoint"
    if "\n" not in text:
        where, path = f"--checkpoint {text}", Path(text)
        if path.stat().st_size > _LARGEST:
            raise ConfigurationError(f"{where}: larger than {_LARGEST} bytes")
        text = path.read_text(encoding="utf-8")
    for body, lines in _notes(text):
        try:
            checkpoint = read_checkpoint(body)
            trusted = trust.of_log(checkpoint.origin)
            if lines and trusted and not verify_note(read_note(f"{body}\n{lines}"), trusted):
                raise NoteError("is signed by no key that you trust for this log")
        except NoteError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        yield checkpoint


def _notes(text: str) -> Iterator[tuple[str, str]]:
    """Yield the text and the signature lines of each note."""
    body: list[str] = []
    signatures: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith(_MARK):
            signatures.append(line)
        elif line and not signatures:
            body.append(line)
        elif line or (signatures and body):
            yield "".join(f"{each}\n" for each in body), "".join(f"{each}\n" for each in signatures)
            body, signatures = [line] if line else [], []
    if body:
        yield "".join(f"{each}\n" for each in body), ""
