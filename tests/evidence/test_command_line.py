"""The commands over the log, on a real database."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import stat
from pathlib import Path

import pytest

from stepup_middleware.core.events import EventName
from tests.support import house_in

from .ocsf import faults
from .support import lines, person, run, transmit

OVERRIDE = "/bound-mount/x"


class Scene:
    """A database with several step-ups, closed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "stepup.db"
        self.passkey = self.hardware = self.totp = self.unredeemed = self.override = ""

    async def play(self) -> None:
        async with house_in(self.folder) as house:
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


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    made = Scene(tmp_path_factory.mktemp("scene"))
    asyncio.run(made.play())
    return made


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
    shared = tmp_path / "shared"
    shared.write_text("longer than what is written, or not", encoding="utf-8")
    shared.chmod(0o640)
    before = os.umask(0)
    try:
        new = tmp_path / "new"
        assert run(capsys, *export, new)[0] == run(capsys, *export, shared)[0] == 0
        assert stat.S_IMODE(new.stat().st_mode) == 0o600
        assert stat.S_IMODE(shared.stat().st_mode) == 0o640
        assert new.read_bytes() == shared.read_bytes()
    finally:
        os.umask(before)
