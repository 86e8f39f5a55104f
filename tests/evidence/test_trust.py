"""Whose a key is, the auditor's keys alone say: nothing that is to be verified has a say in it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.evidence.report import Check, Status
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.keys import LOG_TYPES, SigningKey, VerifierKey, sign_checkpoint
from tests.evidence.generator import Generator, Key
from tests.evidence.trees import LOG_KEYS, TRUST, WITNESS_KEYS, SparseTree, logged, verified
from tests.log.signing import app, key_text, sign

from .independent_verifier import verdict
from .support import run

ANOTHER = tuple(SigningKey.generate("log.example.com/another", type_) for type_ in LOG_TYPES)
ALL = [*TRUST.log_keys, *TRUST.witness_keys, *(key.verifier for key in ANOTHER)]


def in_the_name_of(name: str, signers: Sequence[SigningKey], keys: list[Key]) -> dict[str, object]:
    """Return a bundle whose checkpoint is of a log of this name."""
    made = logged(Generator(7, keys), plain=True)
    tree = SparseTree(made.size, {index: entry.leaf_hash for index, entry in made.entries.items()})
    checkpoint = replace(tree.checkpoint(), origin=name)
    note = sign_checkpoint(checkpoint, signers, int(made.signed_at.timestamp()))
    return {**made.bundle().as_dict(), "checkpoint": str(note)}


@pytest.mark.parametrize(
    ("name", "signers"),
    [
        (WITNESS_KEYS[0].name, WITNESS_KEYS),  # a witness would be log and witness in one
        (LOG_KEYS[0].name, [*ANOTHER, *WITNESS_KEYS]),  # another installation's log in the place of this one
    ],
)
def test_nobody_signs_in_the_place_of_the_log(
    name: str, signers: Sequence[SigningKey], keys: list[Key], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = in_the_name_of(name, signers, keys)
    report = verified(bundle, Trust.among(ALL))
    assert report.status(Check.CHECKPOINT) is Status.FAILED
    assert verdict(bundle, list(map(str, ALL)))[0] == "failed"
    (tmp_path / "bundle").write_text(json.dumps(bundle))
    vkeys = [argument for key in ALL for argument in ("--vkey", str(key))]
    assert run(capsys, "audit", "verify", tmp_path / "bundle", *vkeys)[0] == 1


@pytest.mark.parametrize(
    ("given", "of_log", "of_witnesses"),
    [
        (ALL, TRUST.log_keys, TRUST.witness_keys),
        ([*TRUST.log_keys[1:], *TRUST.witness_keys], TRUST.log_keys[1:], TRUST.witness_keys),  # without its Ed25519
        (TRUST.witness_keys, (), TRUST.witness_keys),
        (ANOTHER[:1], (), ()),
    ],
)
def test_a_key_is_a_logs_or_a_witnesss_by_its_type_and_name(
    given: Sequence[VerifierKey | SigningKey], of_log: Sequence[VerifierKey], of_witnesses: Sequence[VerifierKey]
) -> None:
    trust = Trust.among([key.verifier if isinstance(key, SigningKey) else key for key in given])
    origin = TRUST.log_keys[0].name
    assert (list(trust.of_log(origin)), list(trust.of_witnesses(origin))) == ([*of_log], [*of_witnesses])
    assert trust.of_log(WITNESS_KEYS[0].name) == []


async def test_a_tree_in_the_name_of_the_witness_does_not_take_the_witness_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=3)
    async with app(tmp_path / "db", log_key=key_text(LOG_KEYS), clock=lambda: long_ago) as stepup:
        event = AuditEvent(at=long_ago, name=EventName.POLICY_CHANGED, workspace_id="w", subject_id="s")
        await stepup._parts.store.records.append([event] * 3)
        stored = await sign(stepup)
        assert stored is not None
    vkeys = [argument for key in ALL for argument in ("--vkey", str(key))]

    async def untold() -> set[str]:
        command = ["audit", "verify", "--database", str(tmp_path / "db"), "--json", "--without-proofs", *vkeys]
        _, out, _ = await asyncio.to_thread(run, capsys, *command)
        found = [json.loads(line) for line in out.splitlines()]
        return {f"{each['where']} {each['field']}" for each in found if each.get("unverifiable")}

    assert "leaf 0 checkpoint" in await untold()  # the witness did not cosign what three days ago was signed
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as thief:
        name = WITNESS_KEYS[0].name
        thief.execute("INSERT INTO trees SELECT 2, ?, 0, root, mac FROM trees", (name,))
        note = sign_checkpoint(Checkpoint(name, 0, bytes(32)), LOG_KEYS, 1_790_000_000)
        thief.execute("INSERT INTO checkpoints VALUES (2, 0, ?)", (str(note),))
    assert "leaf 0 checkpoint" in await untold()


@pytest.mark.parametrize(
    ("quorum", "sentence"),
    [
        ("0", "--quorum 0: at least 1; to ask for no witness, give no vkey of one"),
        ("-1", "--quorum -1: at least 1; to ask for no witness, give no vkey of one"),
        ("2", "--quorum 2: --vkey names 1 witnesses: give those of all"),
    ],
)
def test_a_quorum_that_asks_for_nobody_or_cannot_be_had_is_refused(
    quorum: str, sentence: str, keys: list[Key], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = logged(Generator(7, keys), plain=True).bundle().as_dict()
    (tmp_path / "bundle").write_text(json.dumps(bundle))
    vkeys = [argument for key in ALL for argument in ("--vkey", str(key))]
    command = ["audit", "verify", tmp_path / "bundle", *vkeys]
    assert run(capsys, *command, "--quorum", "1")[0] == 0
    code, out, err = run(capsys, *command, "--quorum", quorum)
    assert (code, out) == (2, "")
    assert sentence in err
