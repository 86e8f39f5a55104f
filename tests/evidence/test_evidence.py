"""Evidence of real step-ups: made from the tree, verified by both verifiers, by command, and with the log it is of."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.core.canonical import strict_json
from stepup_middleware.core.events import EventName
from stepup_middleware.errors import EvidenceError
from stepup_middleware.evidence.report import EvidenceVerdict
from stepup_middleware.log.records import read_entry
from stepup_middleware.log.tlog_proof import read_tlog_proof
from tests.http.approving import AT, PURPOSES, program_of
from tests.support import ELSEWHERE, ORIGIN, ROTATE, TRANSMIT, house_in

from .independent_verifier import verdict
from .logs import KEYS, VKEYS, logged_house, vkey_file
from .support import lines, person, run, transmit
from .tampering import altered_members, restructured


async def made(folder: Path, *kinds: str) -> tuple[list[dict[str, Any]], str]:
    """Return the bundles of some step-ups, and a checkpoint that was kept when the app stopped."""
    async with logged_house(folder) as house:
        ada = await person(house, "ada", "passkey", "totp")
        bundles = []
        for kind in kinds:
            url = ROTATE if kind == "totp" else TRANSMIT
            bundle = await house.stepup.evidence("axis", await transmit(ada, kind, url))
            assert bundle is not None
            bundles.append(strict_json(json.dumps(bundle)))
        kept = await house.store.records.last_checkpoint()
        assert kept is not None
    return bundles, kept.note


async def test_a_passkeys_step_up_is_verified_by_both_verifiers(tmp_path: Path) -> None:
    async with logged_house(tmp_path) as house:
        ada = await person(house, "ada", "passkey")
        bundle = await house.stepup.evidence("axis", await transmit(ada, "passkey"))
        report = house.stepup._parts.evidence.judge(strict_json(json.dumps(bundle)))
    assert (report.verdict, report.findings) == (EvidenceVerdict.VERIFIED, ())
    assert verdict(bundle, VKEYS) == ("verified", "")


async def test_a_step_up_that_was_approved_elsewhere_is_verified_by_both_verifiers(tmp_path: Path) -> None:
    async with logged_house(tmp_path, purposes=PURPOSES) as house:
        ada = await person(house, "ada", "passkey")
        assert ada.subject is not None
        program, phone = program_of(house, ada.subject), ada.signed_in_again().at(ELSEWHERE)
        assert phone.subject is not None
        asked = await program.ask(TRANSMIT)
        link = asked["approval"]["url"].removeprefix(ORIGIN)
        assert (await phone.post(link, json={"match": asked["approval"]["match"]})).status_code == 200
        assert (await phone.answer({"prompt": {"url": link}}, phone.factors["passkey"])).status_code == 200
        token = (await program.wait(asked)).json()["token"]
        assert (await program.run(token, TRANSMIT)).status_code == 200
        await house.soon(EventName.ACTION_COMPLETED)
        made_of_it = await house.stepup.evidence("axis", asked["prompt"]["id"])
        assert made_of_it is not None
        bundle = strict_json(json.dumps(made_of_it))
        report = house.stepup._parts.evidence.judge(bundle)
        assert (report.verdict, report.findings) == (EvidenceVerdict.VERIFIED, ())
        assert verdict(bundle, VKEYS) == ("verified", "")
        events = {body["event"]: body for body in (json.loads(each["body"]) for each in bundle["records"])}
        approval = events[EventName.VERIFIED]["data"]["approval"]
        assert approval["caller"]["session"] == program.subject.session
        assert (approval["caller"]["ip"], approval["approver"]["ip"]) == (AT, ELSEWHERE)
        assert approval["approver"]["session"] == phone.subject.session
        changes = [each for make in (altered_members, restructured) for each in make(bundle)]
        for change in changes[::7]:
            judged = house.stepup._parts.evidence.judge(change.bundle)
            other, why = verdict(change.bundle, VKEYS)
            assert judged.verdict.value == other, (change.how, change.path, why, judged.findings)
            assert other != "verified", (change.how, change.path)


async def test_evidence_without_a_signed_checkpoint_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        ada = await person(house, "ada", "passkey")
        prompt = await transmit(ada, "passkey")
        with pytest.raises(EvidenceError, match="give StepUp a log_key"):
            await house.stepup.evidence("axis", prompt)
        assert await house.stepup.evidence("axis", "unknown") is None
        assert await house.stepup.evidence("elsewhere", prompt) is None


def test_the_command_verifies_bundle_and_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle,), kept = asyncio.run(made(tmp_path, "passkey"))
    (tmp_path / "bundle.json").write_text(json.dumps(bundle), encoding="utf-8")
    (tmp_path / "kept").write_text(kept, encoding="utf-8")
    vkeys = vkey_file(tmp_path)
    database, verify = tmp_path / "stepup.db", ("audit", "verify")
    code, out, _ = run(capsys, *verify, tmp_path / "bundle.json", "--vkey", vkeys)
    assert (code, "verified: this person's key signed this action" in out) == (0, True)
    code, out, _ = run(capsys, *verify, tmp_path / "bundle.json", "--json")
    assert (code, json.loads(out)["checks"]["checkpoint"]) == (3, "not verifiable")
    code, out, err = run(capsys, *verify, "--database", database, "--vkey", vkeys, "--checkpoint", tmp_path / "kept")
    assert (code, err) == (0, ""), out
    assert "0 faults: the log is whole" in out
    code, out, _ = run(capsys, *verify, "--database", database, "--vkey", VKEYS[0], "--checkpoint", kept, "--json")
    *found, last = lines(out)
    assert (code, found, last["verdict"], last["summary"]["outside"]) == (0, [], "verified", 1)
    for left_out, untold in (("--vkey", "checkpoint"), ("--checkpoint", "vkey")):
        arguments = {"--vkey": str(vkeys), "--checkpoint": kept}
        del arguments["--vkey" if left_out == "--vkey" else "--checkpoint"]
        given = [each for pair in arguments.items() for each in pair]
        code, out, _ = run(capsys, *verify, "--database", database, *given)
        assert (code, "cannot be told: log" in out) == (3, True), untold


def test_one_time_passwords_and_other_peoples_words_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle,), _ = asyncio.run(made(tmp_path, "totp"))
    (tmp_path / "bundle.json").write_text(json.dumps(bundle), encoding="utf-8")
    code, out, _ = run(capsys, "audit", "verify", tmp_path / "bundle.json", "--vkey", vkey_file(tmp_path))
    assert code == 3
    assert "a one-time password is not independently verifiable" in out
    bundle["records"][0]["body"] = bundle["records"][0]["body"].replace("axis", "axle")
    (tmp_path / "bundle.json").write_text(json.dumps(bundle), encoding="utf-8")
    code, out, _ = run(capsys, "audit", "verify", tmp_path / "bundle.json", "--vkey", vkey_file(tmp_path))
    assert (code, "records[0].body" in out) == (1, True)


def test_the_evidence_command_writes_the_bundle_and_the_standards_proofs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle,), _ = asyncio.run(made(tmp_path, "passkey"))
    proofs = tmp_path / "proofs"
    code, out, err = run(
        capsys, "audit", "evidence", bundle["prompt_id"], "--database", tmp_path / "stepup.db", "--tlog-proof", proofs
    )
    assert (code, err) == (0, "")
    again = strict_json(out)
    assert verdict(again, VKEYS) == ("verified", "")
    assert [record["body"] for record in again["records"]] == [record["body"] for record in bundle["records"]]
    for record in [*again["records"], again["enrolment"]]:
        proof = read_tlog_proof((proofs / f"{record['index']}.tlog-proof").read_bytes())
        assert proof.extra.decode() == record["entry"]
        leaf = read_entry(record["entry"]).leaf_hash
        assert len(proof.verify(leaf, [key.verifier for key in KEYS])) == 2


def test_contradicting_checkpoints_are_two_histories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle,), kept = asyncio.run(made(tmp_path, "passkey"))
    origin, size, _ = kept.split("\n")[:3]
    other = f"{origin}\n{size}\n{'A' * 43}=\n"
    (tmp_path / "bundle.json").write_text(json.dumps(bundle), encoding="utf-8")
    code, out, _ = run(capsys, "audit", "verify", tmp_path / "bundle.json", "--checkpoint", kept, "--checkpoint", other)
    assert (code, "two checkpoints" in out) == (1, True)
