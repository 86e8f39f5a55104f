"""The proof of one leaf as a file: the standard's shape, one spelling, and a leaf that is in the tree."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepup_middleware.log.keys import VerifierKey
from stepup_middleware.log.notes import Note, NoteError
from stepup_middleware.log.records import read_entry
from stepup_middleware.log.tlog_proof import LARGEST_PROOF, TlogProof, read_tlog_proof
from tests.evidence.generator import Generator, make_keys
from tests.evidence.trees import TRUST, logged
from tests.log.histories import LOG_VERIFIERS, History
from tests.log.support import naive_path

TRUE = History()


def proof_of(index: int, size: int, extra: bytes = b"") -> TlogProof:
    path = tuple(naive_path(index, TRUE.leaf_hashes[:size]))
    return TlogProof(index=index, path=path, note=TRUE.note(size), extra=extra)


@given(st.integers(1, 200), st.data(), st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_proof_is_read_back_and_holds_for_its_leaf_alone(size: int, data: st.DataObject, extra: bytes) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = proof_of(index, size, extra)
    read = read_tlog_proof(str(proof).encode())
    assert read == proof
    assert [each.key for each in read.verify(TRUE.leaf_hashes[index], LOG_VERIFIERS)] == list(LOG_VERIFIERS)
    assert read.verify(TRUE.leaf_hashes[index], []) == []
    with pytest.raises(NoteError, match="does not lead from this leaf"):
        read.verify(TRUE.leaf_hashes[index - 1 if index else 1], LOG_VERIFIERS)


def test_the_lines_are_those_of_the_standard() -> None:
    proof = proof_of(5, 9, b"entry")
    first, extra, index, *path = str(proof).partition("\n\n")[0].split("\n")
    assert (first, extra, index) == ("c2sp.org/tlog-proof@v1", "extra ZW50cnk=", "index 5")
    assert [len(line) for line in path] == [44] * 4
    assert str(proof).endswith(str(proof.note))
    assert "extra" not in str(proof_of(5, 9))
    assert str(proof_of(0, 1)).splitlines()[2] == ""  # a tree of one leaf has nothing to prove


def test_a_signature_that_does_not_hold_is_refused() -> None:
    proof = proof_of(3, 9)
    forged = TlogProof(index=3, path=proof.path, note=Note(proof.note.text, TRUE.note(10).signatures))
    with pytest.raises(NoteError, match="does not hold"):
        forged.verify(TRUE.leaf_hashes[3], LOG_VERIFIERS)


@given(st.integers(0, 5000), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_no_byte_of_a_proof_can_be_changed_unnoticed(place: int, byte: int) -> None:
    original = str(PROOF).encode()
    place %= len(original)
    changed = original[:place] + bytes([byte]) + original[place + 1 :]
    try:
        read = read_tlog_proof(changed)
        verified = read.verify(TRUE.leaf_hashes[77], LOG_VERIFIERS)
    except NoteError:
        return
    assert str(read).encode() == changed
    assert (read.index, read.path, read.note.text) == (PROOF.index, PROOF.path, PROOF.note.text)
    assert len(verified) == 2 or read.note.signatures != PROOF.note.signatures  # what it signs is as it was


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2", "first line"),
        ("index 77", "index 077", "leading zeroes"),
        ("index 77", "index -1", "leading zeroes"),
        ("index 77", "leaf 77", "names the index"),
        ("index 77\n", "", "names the index"),
        ("extra YW4gZW50cnk=", "extra ", "base64"),
        ("index 77", "extra AAAA\nindex 77", "names the index"),
        ("index 77", "index 77\nAAAA", "32 bytes"),
        ("index 77", "index 77" + f"\n{'A' * 43}=" * 64, "at most 63"),
        ("\n\n", "\n", "base64"),
        ("log.example.com", "\xff", "UTF-8"),
        ("\nlog.example.com/stepup\n", "\n\n", "empty line|not empty|three lines"),
    ],
)
def test_what_is_no_proof_is_refused_with_its_reason(old: str, new: str, problem: str) -> None:
    changed = str(PROOF).encode().replace(old.encode(), new.encode("latin-1"), 1)
    with pytest.raises(NoteError, match=problem):
        read_tlog_proof(changed)


def test_a_proof_has_a_bound() -> None:
    with pytest.raises(NoteError, match="at most"):
        read_tlog_proof(b"x" * (LARGEST_PROOF + 1))
    with pytest.raises(NoteError, match="UTF-8"):
        read_tlog_proof(b"\xff\n\n")


def test_a_record_of_a_bundle_writes_the_standard_file_with_its_entry(tmp_path: Path) -> None:
    bundle = logged(Generator(3, make_keys()), plain=True).bundle()
    trusted: list[VerifierKey] = [*TRUST.log_keys, *TRUST.witness_keys]
    for number, record in enumerate(bundle.records):
        file = tmp_path / f"{number}.tlog-proof"
        file.write_text(str(record.tlog_proof(bundle.note)))
        read = read_tlog_proof(file.read_bytes())
        entry = read_entry(read.extra.decode())
        assert entry.is_of(record.body)
        assert len(read.verify(entry.leaf_hash, trusted)) == 4


PROOF = proof_of(77, 130, b"an entry")
