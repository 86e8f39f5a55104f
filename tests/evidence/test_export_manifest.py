"""Exports with their manifests: what verifies, what cannot be told, and that nothing that was altered passes."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.events import EventName
from stepup_middleware.evidence.exported import PLACE
from stepup_middleware.evidence.manifest import export_schema, read_manifest
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.keys import LOG_TYPES, SigningKey, sign_checkpoint
from stepup_middleware.log.records import entry_of
from stepup_middleware.service.audit_search import AuditSearch
from tests.support import ROTATE, House

from .logs import KEY_TEXT, KEYS, ORIGIN, VKEYS, logged_house, vkey_file
from .support import lines, person, run, transmit


async def exported(house: House, *, form: str = "ndjson", wanted: AuditSearch | None = None) -> tuple[str, str]:
    """Return the file of an export, and its manifest."""
    export = house.stepup.audit.export("axis", wanted, form=form)
    text = "".join([part async for part in export])
    return text, json.dumps((await export.manifest()).as_dict())


async def play(folder: Path) -> dict[str, str]:
    """Step up in two workspaces, and return what was exported of one, by the names of files."""
    files = {}
    async with logged_house(folder) as house:
        ada, eve = await person(house, "ada", "passkey", "totp"), await person(house, "eve", "hardware_key")
        other = await person(house, "zoe", "passkey", workspace="elsewhere")
        await transmit(ada, "passkey")
        await other.step_up("POST", ROTATE, "passkey")
        await transmit(eve, "hardware_key")
        await transmit(ada, "totp", ROTATE)
        for form in ("ndjson", "csv", "ocsf"):
            files[f"log.{form}"], files[f"log.{form}.manifest.json"] = await exported(house, form=form)
        wanted = AuditSearch(filter=replace(AuditSearch().filter, event=EventName.VERIFIED))
        name = "verified.ndjson"
        files[name], files[f"{name}.manifest.json"] = await exported(house, wanted=wanted)
        kept = await house.store.records.last_checkpoint()
        assert kept is not None
    return {**files, "kept": kept.note}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    for name, text in asyncio.run(play(folder)).items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    vkey_file(folder)
    return folder


def verify(capsys: Any, path: Path, *arguments: object) -> tuple[int, list[Any], Any]:
    """Run the command. Returns the exit code, the findings, and the last line."""
    vkey = () if "--vkey" in arguments else ("--vkey", VKEYS[0], "--vkey", VKEYS[1])
    code, out, err = run(capsys, "audit", "verify", path, *vkey, *arguments, "--json")
    assert err == ""
    *findings, last = lines(out)
    return code, findings, last


def test_an_export_of_a_workspace_is_verified_with_key_or_file_and_checkpoint_or_text(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = made / "kept"
    for vkey, checkpoint in ((made / "log.vkey", kept), (VKEYS[0], kept.read_text(encoding="utf-8"))):
        code, findings, last = verify(
            capsys, made / "log.ndjson", "--vkey", vkey, "--checkpoint", checkpoint, "--rp-id", "example.com"
        )
        assert (code, findings, last["verdict"]) == (0, [], "verified")
    assert last["summary"]["records"] == last["claim"]["records"] > 15
    assert (last["summary"]["proofs"], last["summary"]["one_time_passwords"]) == (3, 1)
    assert last["claim"]["workspace"] == "axis"
    text = run(capsys, "audit", "verify", made / "log.ndjson", "--vkey", made / "log.vkey")[1]
    assert "0 faults: verified: its records are in the log, which claims that there are no others" in text


def test_the_manifest_is_what_the_published_schema_describes(made: Path) -> None:
    schema = dict(export_schema())
    Draft202012Validator.check_schema(schema)
    for path in made.glob("*.manifest.json"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        assert [error.message for error in Draft202012Validator(schema).iter_errors(manifest)] == []
        claim = Draft202012Validator({**schema["$defs"]["claim"], "$defs": schema["$defs"]})
        assert [error.message for error in claim.iter_errors(json.loads(manifest["claim"]))] == []
        assert read_manifest(manifest).as_dict() == manifest


@pytest.mark.parametrize(
    ("name", "arguments", "field"),
    [
        ("log.csv", (), "format"),
        ("log.ocsf", (), "format"),
        ("verified.ndjson", (), "filter"),
        ("log.ndjson", ("--vkey", "{witness}"), "signature"),
        ("log.ndjson", ("--vkey", VKEYS[0], "--vkey", "{witness}"), "trees[0].checkpoint"),
    ],
)
def test_what_cannot_be_told_is_said_and_is_no_fault(
    made: Path, capsys: pytest.CaptureFixture[str], name: str, arguments: tuple[str, ...], field: str
) -> None:
    witness = SigningKey.generate("witness.example", LOG_TYPES[1]).verifier
    given = [each.format(witness=witness) for each in arguments]
    code, findings, last = verify(capsys, made / name, *given)
    assert (code, last["verdict"]) == (3, "not_verifiable")
    assert field in [finding["field"] for finding in findings]
    assert all(finding["unverifiable"] for finding in findings)


def _line(text: str, alter: Callable[[dict[str, Any]], object]) -> str:
    """Alter the record of a verified proof."""
    found = text.splitlines()
    at = next(number for number, line in enumerate(found) if "ACCOUNT_STEPUP_VERIFIED" in line)
    members = json.loads(found[at])
    alter(members)
    found[at] = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    return "\n".join(found) + "\n"


def _rewritten(members: dict[str, Any]) -> None:
    """Rewrite a record, with the entry that its body then has."""
    members["user_agent"] = "another"
    body = canonical_json({name: value for name, value in members.items() if name not in PLACE})
    at = datetime.fromisoformat(members["at"])
    members["entry"] = entry_of(body, at=at, retention_years=members["retention_years"]).text


def _numbered(line: str) -> str:
    members = json.loads(line)
    return json.dumps({**members, "seq": members["seq"] + 1}, ensure_ascii=False, separators=(",", ":"))


ALTERED: dict[str, Callable[[str], str]] = {
    "a line left out": lambda text: "\n".join([*text.splitlines()[:4], *text.splitlines()[5:]]) + "\n",
    "the last line left out": lambda text: "\n".join(text.splitlines()[:-1]) + "\n",
    "a line twice": lambda text: text + text.splitlines()[-1] + "\n",
    "a line twice, under another number": lambda text: text + _numbered(text.splitlines()[-1]) + "\n",
    "two lines exchanged": lambda text: "\n".join([*text.splitlines()[1::-1], *text.splitlines()[2:]]) + "\n",
    "nothing left": lambda text: "",
    "no JSON": lambda text: "x" + text,
    "a person": lambda text: text.replace('"subject_name":"Ada', '"subject_name":"Ida'),
    "spaces alone": lambda text: text.replace('"v":1', '"v": 1', 1),
    "its leaf": lambda text: _line(text, lambda members: members.update(index=members["index"] + 1)),
    "no leaf": lambda text: _line(text, lambda members: members.update(index=None, log=None)),
    "its leaf is text": lambda text: _line(text, lambda members: members.update(index="1")),
    "its number": lambda text: _line(text, lambda members: members.update(seq=members["seq"] + 100)),
    "its entry": lambda text: _line(text, lambda members: members.update(entry=members["entry"].replace("20", "19"))),
    "its body, with its entry": lambda text: _line(text, _rewritten),
    "its workspace": lambda text: _line(text, lambda members: members.update(workspace="elsewhere")),
    "its proof": lambda text: _line(text, lambda members: members["data"]["proof"].update(signature="AAAA")),
    "one member more": lambda text: _line(text, lambda members: members.update(more=1)),
}


@pytest.mark.parametrize("kind", ALTERED)
def test_whatever_is_altered_in_the_file_is_found(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    file = tmp_path / "log.ndjson"
    before = (made / "log.ndjson").read_text(encoding="utf-8")
    after = ALTERED[kind](before)
    assert after != before
    file.write_text(after, encoding="utf-8", newline="")
    code, findings, last = verify(capsys, file, "--manifest", made / "log.ndjson.manifest.json")
    assert (code, last["verdict"]) == (1, "failed")
    assert any(not finding["unverifiable"] for finding in findings)


@pytest.mark.parametrize("kind", [kind for kind in ALTERED if kind != "spaces alone"])
def test_who_claims_what_they_altered_without_the_key_of_the_log_is_found_by_its_tree(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    text = ALTERED[kind]((made / "log.ndjson").read_text(encoding="utf-8"))
    (tmp_path / "log.ndjson").write_text(text, encoding="utf-8", newline="")
    manifest = json.loads((made / "log.ndjson.manifest.json").read_text(encoding="utf-8"))
    raw, index = text.encode(), '"index":null'
    _claim(
        manifest,
        bytes=len(raw),
        sha256=sha256(raw).hexdigest(),
        records=text.count("\n"),
        unproved=text.count(index),
    )
    manifest["signature"] = None
    (tmp_path / "log.ndjson.manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    code, _, last = verify(capsys, tmp_path / "log.ndjson")
    assert (code, last["verdict"]) == (1, "failed")


def _claim(manifest: dict[str, Any], **members: Any) -> None:
    manifest["claim"] = json.dumps(
        {**json.loads(manifest["claim"]), **members}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "fewer records": lambda manifest: _claim(manifest, records=3),
    "another workspace": lambda manifest: _claim(manifest, workspace="elsewhere"),
    "a filter": lambda manifest: _claim(manifest, filter=[["event", "X"]]),
    "another spelling": lambda manifest: manifest.update(claim=manifest["claim"].replace(":1", ": 1", 1)),
    "no JSON": lambda manifest: manifest.update(claim="no"),
    "no tree": lambda manifest: manifest.update(trees=[]),
    "one hash less": lambda manifest: manifest["trees"][0]["hashes"].pop(),
    "one hash more": lambda manifest: manifest["trees"][0]["hashes"].append(manifest["trees"][0]["hashes"][0]),
    "a checkpoint that is none": lambda manifest: manifest["trees"][0].update(checkpoint="none"),
    "a signature that is none": lambda manifest: manifest.update(signature=manifest["trees"][0]["checkpoint"]),
    "one member more": lambda manifest: manifest.update(more=1),
    "another workspace, unsigned": lambda manifest: _claim_for_others(manifest),
    "the checkpoint of another tree": lambda manifest: _show_another_tree(manifest),
    "a signature of somebody else": lambda manifest: _sign_as_somebody_else(manifest),
}


def _claim_for_others(manifest: dict[str, Any]) -> None:
    """Say that the records are all of another workspace's."""
    _claim(manifest, workspace="elsewhere")
    manifest["signature"] = None


def _show_another_tree(manifest: dict[str, Any]) -> None:
    """Show a checkpoint of the log itself, of another size."""
    (tree,) = read_manifest(manifest).claim.trees
    other = Checkpoint(tree.checkpoint.origin, tree.checkpoint.size + 1, tree.checkpoint.root)
    manifest["trees"][0]["checkpoint"] = str(sign_checkpoint(other, KEYS, 2_000_000_000))


def _sign_as_somebody_else(manifest: dict[str, Any]) -> None:
    """Sign the claim by a key that has the name of the log."""
    stranger = SigningKey.generate(ORIGIN, LOG_TYPES[0])
    statement = read_manifest(manifest).claim.statement
    manifest["signature"] = str(sign_checkpoint(statement, [stranger], 2_000_000_000))


@pytest.mark.parametrize("kind", MANIFESTS)
def test_whatever_is_altered_in_the_manifest_is_found(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    shutil.copy(made / "log.ndjson", tmp_path)
    manifest = json.loads((made / "log.ndjson.manifest.json").read_text(encoding="utf-8"))
    MANIFESTS[kind](manifest)
    (tmp_path / "log.ndjson.manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    code, findings, last = verify(capsys, tmp_path / "log.ndjson")
    assert (code, last["verdict"]) == (1, "failed")
    assert findings


def test_without_its_signature_the_records_are_proved_and_that_they_are_all_is_not_told(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(made / "log.ndjson", tmp_path)
    manifest = json.loads((made / "log.ndjson.manifest.json").read_text(encoding="utf-8"))
    manifest["signature"] = None
    (tmp_path / "log.ndjson.manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    code, findings, _ = verify(capsys, tmp_path / "log.ndjson")
    assert (code, [finding["field"] for finding in findings]) == (3, ["signature"])


def test_the_command_writes_the_manifest_beside_the_file_and_signs_it_with_the_key_of_an_app(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out.ndjson"
    code, _, err = run(
        capsys, "audit", "export", "--database", made / "stepup.db", "--workspace", "axis", "--output", file
    )
    assert (code, err.splitlines()[-1].endswith(" records")) == (0, True)
    manifest = tmp_path / "out.ndjson.manifest.json"
    assert stat.S_IMODE(manifest.stat().st_mode) == 0o600
    code, findings, _ = verify(capsys, file)  # nobody could sign: it has the checkpoint that the app left
    assert (code, [finding["field"] for finding in findings]) == (3, ["signature"])

    shutil.copy(made / "stepup.db", tmp_path)
    (tmp_path / "exporting.py").write_text(_APP.format(key=KEY_TEXT, database=tmp_path / "stepup.db"))
    monkeypatch.syspath_prepend(str(tmp_path))
    code, _, _ = run(capsys, "audit", "export", "--app", "exporting:app", "--workspace", "axis", "--output", file)
    assert code == 0
    code, findings, last = verify(capsys, file)
    assert (code, findings, last["claim"]["origin"]) == (0, [], ORIGIN)


_APP = '''
from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.support import KEY

async def nobody(scope):
    return None

async def inner(scope, receive, send):
    pass

stepup = StepUp(
    secret_key=KEY, store=SQLiteStore("{database}"), identify=nobody, log_key="""{key}""",
    relying_party=RelyingParty(id="localhost", name="x", origins=["http://localhost:8000"]),
)
app = StepUpMiddleware(inner, stepup=stepup)
'''


def test_a_file_whose_manifest_is_not_there_is_refused_with_what_to_name(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("log.ndjson", "log.csv", "log.ocsf"):
        shutil.copy(made / name, tmp_path)
        code, _, err = run(capsys, "audit", "verify", tmp_path / name)
        assert (code, "name it by --manifest FILE" in err) == (2, True)
    code, _, err = run(capsys, "audit", "verify", made / "log.ndjson.manifest.json")
    assert (code, "name the file of the export" in err) == (2, True)
    (tmp_path / "broken").write_text("{", encoding="utf-8")
    code, findings, _ = verify(capsys, made / "log.ndjson", "--manifest", tmp_path / "broken")
    assert (code, findings[0]["field"]) == (1, "manifest")
