"""From a step-up over HTTP to an auditor's machine: the commands on a real database."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.chain import leaf_hash, link_hash
from stepup_middleware.core.events import EventName
from stepup_middleware.core.heads import HeadKey, read_public_keys

from .independent_verifier import verdict
from .ocsf import faults
from .support import KEY, Witness, head_key_file, lines, person, run, signing_house, transmit
from .tampering import at, other_values, walk

OVERRIDE = "/bound-mount/x"


class Scene:
    """A database with several step-ups, closed; and what is needed to judge it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "stepup.db"
        self.key = head_key_file(folder)
        self.witness = Witness(folder / "heads.ndjson")
        self.passkey = self.hardware = self.totp = self.unredeemed = self.override = ""

    async def play(self) -> None:
        async with signing_house(self.folder, on_head=[self.witness]) as house:
            ada = await person(house, "ada", "passkey", "totp")
            bob = await person(house, "bob", "hardware_key")
            self.passkey = await transmit(ada, "passkey")
            self.hardware = await transmit(bob, "hardware_key")
            self.totp = await transmit(ada, "totp", "/webhooks/rotate")
            self.unredeemed = (await ada.prompt("POST", "/webhooks/rotate"))["prompt"]["id"]
            await ada.prove(await ada.prompt("POST", "/webhooks/rotate"), "passkey")
            token = await bob.token("POST", OVERRIDE, "hardware_key")
            answer = await bob.send("POST", OVERRIDE, token=token)
            assert answer.status_code == 200
            self.override = (await house.events(EventName.ACTION_AUTHORIZED))[-1].prompt_id
            reused = await bob.send("POST", OVERRIDE, token=token)
            assert reused.status_code == 403

    def bundle(self, capsys: pytest.CaptureFixture[str], prompt: str, name: str = "bundle.json") -> Path:
        path = self.folder / name
        code, _, err = run(capsys, "audit", "evidence", prompt, "--database", self.database, "--output", path)
        assert code == 0, err
        return path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    made = Scene(tmp_path_factory.mktemp("scene"))
    asyncio.run(made.play())
    return made


@pytest.mark.parametrize("which", ["passkey", "hardware", "override"])
def test_the_bundle_of_a_real_ceremony_verifies_offline_with_the_head_key_alone(
    scene: Scene, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    path = scene.bundle(capsys, getattr(scene, which))
    code, out, _ = run(capsys, "audit", "verify", path, "--head-key", scene.key, "--heads", scene.witness.path)
    assert code == 0, out
    assert "verified: this person's key signed this action" in out
    assert out.count(" ok") == 10
    code, out, _ = run(capsys, "audit", "verify", path, "--head-key", scene.key, "--rp-id", "example.com", "--json")
    answer = json.loads(out)
    assert (code, answer["verdict"], answer["findings"]) == (0, "verified", [])
    assert answer["facts"]["person"].endswith(("(ada)", "(bob)"))
    bundle = json.loads(path.read_text(encoding="utf-8"))
    assert verdict(bundle, [KEY.public_key]) == ("verified", "")


def test_a_prompt_id_is_never_taken_for_an_option(scene: Scene) -> None:
    for prompt in (scene.passkey, scene.hardware, scene.totp, scene.unredeemed, scene.override):
        assert re.fullmatch("[0-9a-f]{44}", prompt)


def test_every_retention_has_its_own_segment_up_to_a_head(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = json.loads(scene.bundle(capsys, scene.override).read_text(encoding="utf-8"))
    assert [segment["chain"].rpartition("/")[2] for segment in bundle["segments"]] == ["P10Y", "P20Y"]
    assert all(segment["head"] is not None for segment in bundle["segments"])
    assert "ACCOUNT_STEPUP_REUSED" in [json.loads(entry["body"])["event"] for entry in bundle["events"]]


def test_other_peoples_records_are_in_the_bundle_as_hashes_only(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    text = scene.bundle(capsys, scene.passkey).read_text(encoding="utf-8")
    assert "ada" in text
    assert "bob" not in text


def test_a_one_time_password_is_reported_as_not_independently_verifiable(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scene.bundle(capsys, scene.totp)
    code, out, _ = run(capsys, "audit", "verify", path, "--head-key", scene.key)
    assert code == 3
    assert "a one-time password is not independently verifiable" in out
    assert verdict(json.loads(path.read_text(encoding="utf-8")), [KEY.public_key])[0] == "not_verifiable"


def test_a_prompt_that_nobody_answered_proves_nothing(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    path = scene.bundle(capsys, scene.unredeemed)
    code, out, _ = run(capsys, "audit", "verify", path, "--head-key", scene.key)
    assert code == 3
    assert "nobody proved themselves" in out


def test_without_the_head_key_the_verdict_is_never_verified(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "audit", "verify", scene.bundle(capsys, scene.passkey))
    assert code == 3
    assert "no trusted head key was given" in out


def test_an_altered_bundle_fails_and_the_member_is_named(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bundle = json.loads(scene.bundle(capsys, scene.passkey).read_text(encoding="utf-8"))
    bundle["events"][1]["body"] = bundle["events"][1]["body"].replace("2026-06", "2026-07")
    path = tmp_path / "altered.json"
    path.write_text(json.dumps(bundle), encoding="utf-8")
    code, out, _ = run(capsys, "audit", "verify", path, "--head-key", scene.key)
    assert code == 1
    assert "events[1].body: was altered after it was written" in out
    assert "FAILED" in out


@pytest.mark.parametrize(
    "text", ["", "{", "nope", '{"format":"stepup-evidence","format":"x"}', "[" * 10_000, "\x00", '{"version": NaN}']
)
def test_a_file_that_is_no_bundle_fails_without_a_traceback(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    path = tmp_path / "bundle.json"
    path.write_text(text, encoding="utf-8")
    code, out, _ = run(capsys, "audit", "verify", path, "--head-key", scene.key, "--json")
    assert (code, json.loads(out)["verdict"]) == (1, "failed")


def test_text_from_a_bundle_cannot_command_the_terminal(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:  # A08
    bundle = json.loads(scene.bundle(capsys, scene.passkey).read_text(encoding="utf-8"))
    bundle["\x1b[2J"] = 1
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle), encoding="utf-8")
    code, out, _ = run(capsys, "audit", "verify", path)
    assert code == 1
    assert "\x1b" not in out


def test_a_private_key_in_place_of_the_public_one_is_refused(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, printed, _ = run(capsys, "keygen", "--head")
    wrong = tmp_path / "private.txt"
    wrong.write_text(printed, encoding="utf-8")
    code, _, err = run(capsys, "audit", "verify", scene.bundle(capsys, scene.passkey), "--head-key", wrong)
    assert code == 2
    assert "private head key" in err


@pytest.mark.parametrize("arguments", [[], ["--all"], ["bundle.json", "--database", "stepup.db"]])
def test_verify_wants_a_bundle_or_a_log(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, _, err = run(capsys, "audit", "verify", *arguments)
    assert code == 2
    assert "name either a BUNDLE" in err


def test_evidence_of_an_unknown_prompt_or_of_another_workspace_is_refused(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["nothing"], [scene.passkey, "--workspace", "elsewhere"]):
        code, out, err = run(capsys, "audit", "evidence", *arguments, "--database", scene.database)
        assert (code, out) == (2, "")
        assert "the log has no step-up" in err


# the whole log


def test_the_whole_log_verifies(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys, "audit", "verify", "--all", "--database", scene.database,
        "--head-key", scene.key, "--heads", scene.witness.path, "--rp-id", "example.com",
    )  # fmt: skip
    assert code == 0, out
    assert "every chain holds" in out
    assert "not independently verifiable" in out


def test_the_whole_log_in_json_counts_what_was_judged(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "audit", "verify", "--database", scene.database, "--head-key", scene.key, "--json")
    answer = lines(out)[-1]
    summary = answer["summary"]
    assert code == 0
    assert summary["faults"] == summary["heads_untrusted"] == summary["unverifiable"] == 0
    assert summary["proofs"] == 5  # passkey, hardware key, unredeemed, override, and the one to enrol the app
    assert summary["one_time_passwords"] == 1
    assert summary["heads"] >= 2


def unguarded(source: Path, target: Path) -> sqlite3.Connection:
    """Return a connection to a copy of the database, its triggers dropped, as an operator could do it."""
    connection = sqlite3.connect(target)
    with closing(sqlite3.connect(source)) as original:
        original.backup(connection)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    return connection


def rewrite(connection: sqlite3.Connection, change: Callable[[dict[str, Any]], None], event: str) -> None:
    """Change the last event of a name and give every later link of its chain a hash that fits again."""
    seq, chain, body = connection.execute(
        "SELECT seq, chain, body FROM audit WHERE event = ? ORDER BY seq DESC LIMIT 1", (event,)
    ).fetchone()
    fields = json.loads(body)
    change(fields)
    connection.execute("UPDATE audit SET body = ? WHERE seq = ?", (canonical_json(fields), seq))
    state = bytes(32)
    rows = connection.execute("SELECT seq, link, body FROM audit WHERE chain = ? ORDER BY link", (chain,)).fetchall()
    for seq, link, body in rows:
        hash_ = link_hash(chain, link, state, leaf_hash(body))
        connection.execute("UPDATE audit SET previous = ?, hash = ? WHERE seq = ?", (state, hash_, seq))
        state = hash_


def test_a_row_that_was_changed_in_the_database_is_found_by_its_place(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with unguarded(scene.database, tmp_path / "x.db") as connection:
        connection.execute("UPDATE audit SET body = replace(body, '214', '215') WHERE event = 'ACTION_AUTHORIZED'")
    connection.close()
    code, out, _ = run(capsys, "audit", "verify", "--database", tmp_path / "x.db")
    assert code == 1
    assert "body the record was altered after it was written" in out


def test_a_log_that_was_rewritten_from_a_record_on_is_found_by_its_signed_heads(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with unguarded(scene.database, tmp_path / "x.db") as connection:
        rewrite(connection, lambda fields: fields.update(ip="203.0.113.1"), "FACTOR_ENROLLED")
    connection.close()
    code, out, _ = run(capsys, "audit", "verify", "--database", tmp_path / "x.db", "--head-key", scene.key)
    assert code == 1
    assert "the log was rewritten after it was signed" in out


def test_a_log_that_lost_its_heads_too_is_found_by_the_witnessed_ones(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with unguarded(scene.database, tmp_path / "x.db") as connection:
        rewrite(connection, lambda fields: fields.update(user_agent="Other/1"), "FACTOR_ENROLLED")
        connection.execute("DELETE FROM heads")
    connection.close()
    arguments = ["audit", "verify", "--database", tmp_path / "x.db", "--head-key", scene.key]
    assert run(capsys, *arguments)[0] == 0  # the operator's word alone
    code, out, _ = run(capsys, *arguments, "--heads", scene.witness.path)
    assert code == 1
    assert "there are two histories" in out


@pytest.mark.parametrize("as_json", [False, True])
def test_kept_heads_that_contradict_each_other_are_two_histories(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path, as_json: bool
) -> None:
    kept = Path(scene.witness.path).read_text(encoding="utf-8")
    other = {**json.loads(kept.splitlines()[0]), "hash": "00" * 32}
    heads = tmp_path / "heads.ndjson"
    heads.write_text(kept + json.dumps(other) + "\n", encoding="utf-8")
    arguments = ["audit", "verify", "--database", scene.database, "--heads", heads]
    code, out, err = run(capsys, *arguments, *["--json"] * as_json)
    assert (code, err) == (1, "")
    assert "there are two histories" in (json.loads(out)["problem"] if as_json else out)
    heads.write_text("no head\n", encoding="utf-8")
    assert run(capsys, *arguments)[0] == 2


def test_a_log_that_was_cut_off_is_found_by_its_heads(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with unguarded(scene.database, tmp_path / "x.db") as connection:
        connection.execute("DELETE FROM audit WHERE seq > (SELECT max(seq) - 3 FROM audit)")
    connection.close()
    code, out, _ = run(capsys, "audit", "verify", "--database", tmp_path / "x.db", "--head-key", scene.key)
    assert code == 1
    assert "records were cut off" in out


@pytest.mark.parametrize("member", ["details", "request", "subject", "purpose", "requirement", "policy_version"])
def test_an_action_that_was_rewritten_is_found_in_the_whole_log_even_with_fitting_hashes(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path, member: str
) -> None:
    def change(fields: dict[str, Any]) -> None:
        other = {"details": [["Run", "2027-01"]], "request": None, "requirement": "any", "policy_version": 99}
        fields[member] = other.get(member, f"{fields[member]}x")

    with unguarded(scene.database, tmp_path / "x.db") as connection:
        rewrite(connection, change, "ACTION_AUTHORIZED")
        connection.execute("DELETE FROM heads")
    connection.close()
    code, out, _ = run(capsys, "audit", "verify", "--all", "--database", tmp_path / "x.db", "--json")
    faults = [line for line in lines(out) if "field" in line]
    assert code == 1
    assert any(fault["field"].endswith(f".body.{member}") for fault in faults), faults


def test_every_member_of_a_kept_proof_is_judged_in_the_whole_log(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with sqlite3.connect(scene.database) as connection:
        (body,) = connection.execute(
            "SELECT body FROM audit WHERE event = 'ACCOUNT_STEPUP_VERIFIED' ORDER BY seq DESC LIMIT 1"
        ).fetchone()
    connection.close()
    tried = 0
    for path, value in walk(json.loads(body)["data"]["proof"]):
        if isinstance(value, list | dict):
            continue

        def change(fields: dict[str, Any], path: Any = path, value: Any = value) -> None:
            at(fields["data"]["proof"], path[:-1])[path[-1]] = other_values(value)[0]

        target = tmp_path / f"{tried}.db"
        with unguarded(scene.database, target) as connection:
            rewrite(connection, change, "ACCOUNT_STEPUP_VERIFIED")
            connection.execute("DELETE FROM heads")
        connection.close()
        assert run(capsys, "audit", "verify", "--database", target)[0] == 1, path
        tried += 1
    assert tried >= 11


def test_a_removed_enrolment_is_a_fault_while_nothing_was_purged(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with unguarded(scene.database, tmp_path / "x.db") as connection:
        rewrite(connection, lambda fields: fields.update(factor_id="another"), "FACTOR_ENROLLED")
        connection.execute("DELETE FROM heads")
    connection.close()
    code, out, _ = run(capsys, "audit", "verify", "--database", tmp_path / "x.db")
    assert code == 1
    assert "FACTOR_ENROLLED is not there" in out


# export and keys


def test_the_log_is_exported_as_ndjson_csv_and_ocsf(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["audit", "export", "--database", scene.database, "--format"]
    records = lines(run(capsys, *arguments, "ndjson")[1])
    rows = list(csv.DictReader(io.StringIO(run(capsys, *arguments, "csv")[1])))
    events = lines(run(capsys, *arguments, "ocsf")[1])
    assert len(records) == len(rows) == len(events) > 20
    assert [record["event"] for record in records] == [row["event"] for row in rows]
    assert [record["event"] for record in records] == [event["metadata"]["event_code"] for event in events]
    assert [fault for event in events for fault in faults(event)] == []
    alerts = [event for event in events if event["is_alert"]]
    assert [event["metadata"]["event_code"] for event in alerts] == ["ACCOUNT_STEPUP_REUSED"]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_file_that_a_command_writes_is_its_owners_alone_and_one_that_is_there_keeps_its_mode(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path, form: str
) -> None:
    export = ["audit", "export", "--database", scene.database, "--format", form, "--output"]
    evidence = ["audit", "evidence", scene.passkey, "--database", scene.database, "--output"]
    shared = tmp_path / "shared"
    shared.write_text("longer than what is written, or not", encoding="utf-8")
    shared.chmod(0o640)
    before = os.umask(0)
    try:
        for place, command in enumerate((export, evidence)):
            new = tmp_path / f"new-{place}"
            assert run(capsys, *command, new)[0] == run(capsys, *command, shared)[0] == 0
            assert stat.S_IMODE(new.stat().st_mode) == 0o600
            assert stat.S_IMODE(shared.stat().st_mode) == 0o640
            assert new.read_bytes() == shared.read_bytes()
    finally:
        os.umask(before)


def test_keygen_makes_a_pair_that_fits_and_a_file_that_is_refused_whole(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "keygen", "--head")
    values = dict(line.split("=", 1) for line in out.splitlines() if not line.startswith("#"))
    key = HeadKey(values["head_key"])
    assert code == 0
    assert read_public_keys(f"public_key={values['public_key']}\n") == {values["key_id"]: key.public_key}
    other = run(capsys, "keygen", "--head")[1]
    assert other != out


APP = """
from starlette.applications import Starlette
from stepup_middleware import StepUp, StepUpMiddleware
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.evidence.support import SEED
from tests.support import KEY, RP

async def identify(scope):
    return None

stepup = StepUp(
    secret_key=KEY, store=SQLiteStore({database!r}), relying_party=RP, identify=identify, head_key=SEED
)
app = StepUpMiddleware(Starlette(), stepup=stepup)
"""


def test_the_app_signs_a_fresh_head_for_the_bundle_that_is_asked_of_it(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unguarded(scene.database, tmp_path / "x.db").close()
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection, connection:
        connection.execute("DELETE FROM heads")
    (tmp_path / "evidence_app.py").write_text(APP.format(database=str(tmp_path / "x.db")), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    code, out, err = run(capsys, "audit", "evidence", scene.passkey, "--app", "evidence_app:app")
    assert code == 0, err
    assert json.loads(out)["head_key_ids"] == [KEY.key_id]
    path = tmp_path / "bundle.json"
    path.write_text(out, encoding="utf-8")
    assert run(capsys, "audit", "verify", path, "--head-key", scene.key)[0] == 0


def test_evidence_from_a_database_without_heads_warns_that_none_covers_it(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    unguarded(scene.database, tmp_path / "x.db").close()
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection, connection:
        connection.execute("DELETE FROM heads")
    code, out, err = run(capsys, "audit", "evidence", scene.passkey, "--database", tmp_path / "x.db")
    assert (code, json.loads(out)["head_key_ids"]) == (0, [])
    assert "no signed head covers this step-up" in err
