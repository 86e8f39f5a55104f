"""Checkpoints: what is signed, who has it, and that nothing is signed that did not grow from what was."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware import CheckpointFile, ConfigurationError, EventName, StepUp, Witness
from stepup_middleware.cli import main
from stepup_middleware.log.checkpoints import Checkpoint, checkpoint_of
from stepup_middleware.log.integrator import Fault
from stepup_middleware.log.keys import LOG_TYPES, WITNESS_TYPES, SigningKey, sign_checkpoint
from stepup_middleware.log.merkle import is_consistent
from stepup_middleware.log.tiles import prove_consistency
from stepup_middleware.log.witness.client import WitnessClient
from tests.log.histories import LOG_KEYS, LOG_VERIFIERS, ORIGIN, History
from tests.log.signing import (
    Keeper,
    alarms,
    app,
    fault_of,
    key_text,
    log_of,
    sign,
    signed_by,
    signer_of,
    write,
)
from tests.log.witness_process import WitnessProcess
from tests.support import KEY, TRANSMIT, Browser, house_in

LOG_KEY = key_text(LOG_KEYS)
NEW_KEYS = tuple(SigningKey.generate("log.example.com/second", type_) for type_ in LOG_TYPES)
WITNESS = str(SigningKey.generate("down.example", WITNESS_TYPES[1]).verifier)


def copy(path: Path, to: Path) -> None:
    """Copy a database, as a backup does."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


async def waiting(stepup: StepUp, last: int) -> int:
    """Return how many records up to a serial number wait for their leaf, a moment later."""
    await asyncio.sleep(0.005)
    return len(await stepup._parts.store.records.records_without_leaf(after=0, until=last))


def has_quorum(stepup: StepUp) -> bool:
    return log_of(stepup).has_quorum


def put_back(copied: Path, path: Path) -> None:
    """Put an older copy in the place of a database."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
    shutil.copy(copied, path)


async def an_older_copy_came_back(tmp_path: Path, kept: dict[str, Any]) -> None:
    """Leave a database with two records in the place of one with five."""
    async with app(tmp_path / "db", **kept) as stepup:
        await write(stepup, 2)
    await asyncio.to_thread(copy, tmp_path / "db", tmp_path / "copy")
    async with app(tmp_path / "db", **kept) as stepup:
        await write(stepup, 3)
    put_back(tmp_path / "copy", tmp_path / "db")


async def test_what_is_written_is_signed_with_both_keys_kept_and_handed_to_everybody(tmp_path: Path) -> None:
    keeper, file = Keeper(failures=1), CheckpointFile(tmp_path / "checkpoint")
    async with app(tmp_path / "db", log_key=LOG_KEY, on_checkpoint=[keeper, file]) as stepup:
        await write(stepup, 300)
        stored = await sign(stepup)
        assert stored is not None
        assert (stored.size, checkpoint_of(stored.note).origin) == (300, ORIGIN)
        assert signed_by(stored.note, LOG_VERIFIERS) == 2
        assert await sign(stepup) == stored
        assert await signer_of(stepup).checkpoint_for(300) == stored
        assert await signer_of(stepup).checkpoint_for(301) is None
        assert stepup.log_vkeys == tuple(map(str, LOG_VERIFIERS))
        status = (await stepup.health()).log
        assert (status.leaves, status.signed_leaves, status.fault, status.has_quorum) == (300, 300, "", True)
        await write(stepup, 1)
    # closing signs the rest, and waits for who has to take it
    assert checkpoint_of(keeper.notes[-1]).size == 301
    assert (tmp_path / "checkpoint").read_text() == keeper.notes[-1]
    async with app(tmp_path / "db", log_key=LOG_KEY) as stepup:
        kept = await stepup._parts.store.records.checkpoints()
        assert [each.size for each in kept] == [300, 301]


async def test_a_checkpoint_that_was_not_taken_is_handed_over_by_the_next_start(tmp_path: Path) -> None:
    async with app(tmp_path / "db", log_key=LOG_KEY) as stepup:
        await write(stepup, 3)
    keeper = Keeper()
    async with app(tmp_path / "db", log_key=LOG_KEY, on_checkpoint=[keeper]):
        pass
    assert [checkpoint_of(note).size for note in keeper.notes] == [3]


async def test_records_have_their_leaves_at_most_a_quarter_of_a_second_later_with_and_without_a_key(
    tmp_path: Path,
) -> None:
    for name, settings in (("keyless", {}), ("signed", {"log_key": LOG_KEY})):
        async with app(tmp_path / name, **settings) as stepup:
            await sign(stepup) if settings else None
            loop, late = asyncio.get_running_loop(), []
            for _ in range(20):
                await write(stepup, 5)
                began = loop.time()
                last = await stepup._parts.store.records.last_seq()
                while await waiting(stepup, last):
                    pass
                late.append(loop.time() - began)
            assert sorted(late)[10] < 0.25  # a busy machine may be late once
            (tree,) = await stepup._parts.store.records.trees()
            assert tree.origin == (ORIGIN if settings else "example.com/stepup")


async def test_a_forged_record_has_no_leaf_and_raises_one_alarm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Any] = []

    async def hear(event: Any) -> None:
        heard.append(event)

    async with app(tmp_path / "db", log_key=LOG_KEY) as stepup:
        await write(stepup, 2)
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as thief:
        columns = {row[1] for row in thief.execute("PRAGMA table_info(audit)")} - {"seq"}
        new = {"id": "'forged'", "link": "99"}
        listed, values = ", ".join(columns), ", ".join(new.get(name, name) for name in columns)
        thief.execute(f"INSERT INTO audit ({listed}) SELECT {values} FROM audit LIMIT 1")  # noqa: S608 - names of columns
    async with app(tmp_path / "db", log_key=LOG_KEY, on_event=[hear]) as stepup:
        await write(stepup, 1)
        stored = await sign(stepup)
        assert stored is not None
        assert await alarms(stepup) == ["record_mac"]
        assert await sign(stepup) is not None
        assert await alarms(stepup) == ["record_mac"]
    assert [event.reason for event in heard if event.name is EventName.DATABASE_ALTERED] == ["record_mac"]
    assert "the database was altered: 1 record(s) of the audit log have no leaf" in caplog.text


@pytest.mark.parametrize("outside", ["file", "witness", "both"])
async def test_over_a_restored_copy_nothing_is_signed_redemption_goes_on_and_a_new_log_heals_it(
    tmp_path: Path, outside: str
) -> None:
    witness = WitnessProcess(tmp_path)
    await asyncio.to_thread(witness.start)
    settings: dict[str, Any] = {"on_checkpoint": [], "witnesses": []}
    if outside != "witness":
        settings["on_checkpoint"] = [CheckpointFile(tmp_path / "checkpoint")]
    if outside != "file":
        settings["witnesses"] = [witness.witness]
    try:
        async with house_in(tmp_path, log_key=LOG_KEY, **settings) as house:
            ada = Browser(house, house.sign_in("ada"))
            await ada.enrol("passkey")
            assert await sign(house.stepup) is not None
        await asyncio.to_thread(copy, house.path, tmp_path / "copy")
        async with house_in(tmp_path, log_key=LOG_KEY, **settings) as house:
            await write(house.stepup, 5, "lost")
            newest = await sign(house.stepup)
            assert newest is not None
        put_back(tmp_path / "copy", house.path)

        async with house_in(tmp_path, log_key=LOG_KEY, **settings) as house:
            assert await sign(house.stepup) is None
            assert fault_of(house.stepup) is Fault.TREE_SHRANK
            assert "smaller" in (await house.stepup.health()).log.fault
            ada = Browser(house, house.sign_in("ada"), factors=ada.factors)
            answer = await ada.post(TRANSMIT, token=await ada.token("POST", TRANSMIT, "passkey"))
            assert answer.status_code == 200
            await write(house.stepup, 20, "beyond what was signed")  # the tree does not grow over it
            assert await sign(house.stepup) is None
            assert await alarms(house.stepup) == ["tree_shrank"]
        async with house_in(tmp_path, log_key=LOG_KEY, **settings) as house:
            assert await sign(house.stepup) is None
            assert (await house.stepup.health()).log.fault
            last = await house.store.records.last_checkpoint()
            assert last is None or last.size < newest.size

        # the heir: a key of another name, which the witness is told of, too
        witness.log_file.write_text("".join(f"{key.verifier}\n" for key in (*LOG_KEYS, *NEW_KEYS)))
        witness.stop()
        await asyncio.to_thread(witness.start)
        async with house_in(tmp_path, log_key=key_text(NEW_KEYS), **settings) as house:
            assert await sign(house.stepup) is None  # not yet: the log of this database is another
            assert fault_of(house.stepup) is Fault.TREE_OF_ANOTHER_LOG
        heir = app(house.path, log_key=key_text(NEW_KEYS), **settings, secret_key=KEY)
        assert await heir.begin_log([newest.note]) == "log.example.com/second"
        async with house_in(tmp_path, log_key=key_text(NEW_KEYS), **settings) as house:
            stored = await sign(house.stepup)
            assert stored is not None
            assert (stored.log, checkpoint_of(stored.note).origin) == (2, "log.example.com/second")
            assert fault_of(house.stepup) is None
            (begun,) = await house.events(EventName.LOG_BEGUN)
            assert (begun.log, begun.index) == (2, 0)
            assert begun.data["previous"]["checkpoint"] == newest.note
            assert begun.data["previous"]["origin"] == ORIGIN
            records = await house.events()
            assert all(record.index is not None for record in records)
        assert "ERROR" not in (tmp_path / "errors").read_text(), "the witness was shown a fork"
    finally:
        witness.stop()


async def test_records_that_waited_for_their_leaf_when_a_new_log_began_are_no_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [datetime.now(UTC)]
    file = CheckpointFile(tmp_path / "file")
    kept: dict[str, Any] = {"log_key": LOG_KEY, "on_checkpoint": [file], "clock": lambda: now[0]}
    await an_older_copy_came_back(tmp_path, kept)
    async with app(tmp_path / "db", **kept) as stepup:
        assert await sign(stepup) is None
        await write(stepup, 4, "beyond what was signed")
    now[0] += timedelta(minutes=5)  # somebody reads the guide
    kept["log_key"] = key_text(NEW_KEYS)
    heir = app(tmp_path / "db", **kept)
    await heir.begin_log()
    await heir.close()
    async with app(tmp_path / "db", **kept) as stepup:
        assert await sign(stepup) is not None
    vkeys = tmp_path / "vkeys"
    vkeys.write_text("".join(f"{key.verifier}\n" for key in (*LOG_KEYS, *NEW_KEYS)))
    command = ["audit", "verify", "--database", str(tmp_path / "db"), "--vkey", str(vkeys)]
    assert await asyncio.to_thread(main, command) == 3, capsys.readouterr().out  # what was lost cannot be told
    out = capsys.readouterr().out
    assert "0 faults" in out
    assert "WRONG" not in out


async def test_a_copy_that_grew_where_nobody_looked_is_larger_and_still_another_history(tmp_path: Path) -> None:
    kept: dict[str, Any] = {"log_key": LOG_KEY, "on_checkpoint": [CheckpointFile(tmp_path / "file")]}
    await an_older_copy_came_back(tmp_path, kept)
    async with app(tmp_path / "db", log_key=LOG_KEY) as stepup:  # it was told of no file
        await write(stepup, 10)
    before = (tmp_path / "file").read_text()
    assert checkpoint_of(before).size == 5
    async with app(tmp_path / "db", **kept) as stepup:
        assert await sign(stepup) is None
        assert fault_of(stepup) is Fault.TREE_DIFFERS
        assert await alarms(stepup) == ["tree_differs"]
        assert await sign(stepup) is None
    assert (tmp_path / "file").read_text() == before


def witnessed_by(witness: WitnessProcess, file: Path) -> dict[str, Any]:
    """Return the settings of an app whose checkpoints a witness cosigns, and a file takes."""
    return {"log_key": LOG_KEY, "witnesses": [witness.witness], "on_checkpoint": [CheckpointFile(file)]}


@pytest.mark.parametrize("forged", ["altered", "of another size"])
async def test_a_checkpoint_that_somebody_wrote_into_the_database_does_not_count_and_is_told(
    tmp_path: Path, forged: str
) -> None:
    async with app(tmp_path / "db", log_key=LOG_KEY) as stepup:
        await write(stepup, 3)
        stored = await sign(stepup)
        assert stored is not None
    note = stored.note if forged == "of another size" else stored.note.replace("\n3\n", "\n9\n", 1)
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as thief:
        thief.execute("INSERT INTO checkpoints VALUES (1, 9, ?)", (note,))
    async with app(tmp_path / "db", log_key=LOG_KEY) as stepup:
        await write(stepup, 1)
        signed = await sign(stepup)
        assert signed is not None
        assert fault_of(stepup) is None
        assert 4 <= signed.size == checkpoint_of(signed.note).size < 9  # the alarm may have its leaf by then
        assert await alarms(stepup) == ["checkpoint"]


async def test_a_witness_that_is_down_is_a_warning_and_one_that_is_back_cosigns(tmp_path: Path) -> None:
    witness = WitnessProcess(tmp_path)
    settings = witnessed_by(witness, tmp_path / "file")
    async with app(tmp_path / "db", **settings) as stepup:
        await write(stepup, 3)
        stored = await sign(stepup)
        assert stored is not None
        assert not has_quorum(stepup)
        await asyncio.to_thread(witness.start)
        try:
            await write(stepup, 3)
            stored = await sign(stepup)
            assert stored is not None
            assert has_quorum(stepup)
            assert signed_by(stored.note, [*LOG_VERIFIERS, *witness.verifiers]) == 4
            witness.kill()
            await write(stepup, 1)
            assert await sign(stepup) is not None
            assert not has_quorum(stepup)
            await asyncio.to_thread(witness.start)
            await write(stepup, 1)
            assert await sign(stepup) is not None
            assert has_quorum(stepup)
        finally:
            witness.stop()


async def test_a_witness_that_is_back_cosigns_though_nothing_was_written_since(tmp_path: Path) -> None:
    witness = WitnessProcess(tmp_path)
    settings = witnessed_by(witness, tmp_path / "file")
    async with app(tmp_path / "db", **settings) as stepup:
        await write(stepup, 3)
        alone = await sign(stepup)
        assert alone is not None
        assert not has_quorum(stepup)
        await asyncio.to_thread(witness.start)
        try:
            cosigned = await sign(stepup)
        finally:
            witness.stop()
        assert cosigned is not None
        assert has_quorum(stepup)
        assert cosigned.size == alone.size
        assert signed_by(cosigned.note, [*LOG_VERIFIERS, *witness.verifiers]) == 4
        (kept,) = await stepup._parts.store.records.checkpoints()
        assert signed_by(kept.note, [*LOG_VERIFIERS, *witness.verifiers]) == 4  # what comes later is not lost
    assert signed_by((tmp_path / "file").read_text(), [*LOG_VERIFIERS, *witness.verifiers]) == 4
    async with app(tmp_path / "db", **settings) as stepup:  # the witness is down, and has cosigned all that there is
        assert await sign(stepup) is not None
        assert has_quorum(stepup)


async def test_cosignatures_of_two_witnesses_that_are_never_up_together_are_put_together(tmp_path: Path) -> None:
    witnesses = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        witnesses.append(WitnessProcess(tmp_path / name, f"{name}.example"))
    settings = {**witnessed_by(witnesses[0], tmp_path / "file"), "witnesses": [each.witness for each in witnesses]}
    async with app(tmp_path / "db", **settings, quorum=2) as stepup:
        await write(stepup, 3)
        for number, witness in enumerate(witnesses):
            await asyncio.to_thread(witness.start)
            try:
                stored = await sign(stepup)
            finally:
                await asyncio.to_thread(witness.stop)
            assert stored is not None
            assert has_quorum(stepup) is (number == 1)
        (kept,) = await stepup._parts.store.records.checkpoints()
    verifiers = [*LOG_VERIFIERS, *witnesses[0].verifiers, *witnesses[1].verifiers]
    assert signed_by(kept.note, verifiers) == 6
    assert signed_by((tmp_path / "file").read_text(), verifiers) == 6


async def test_a_file_takes_the_cosignatures_that_come_later_and_gives_none_away(tmp_path: Path) -> None:
    file, tree = CheckpointFile(tmp_path / "file"), History()
    cosigners = [SigningKey.generate(f"{name}.example", WITNESS_TYPES[0]) for name in ("one", "two")]
    notes = [
        str(sign_checkpoint(tree.checkpoint(9), [LOG_KEYS[0], *keys], 1)) for keys in ([], cosigners[:1], cosigners[1:])
    ]
    for note in (notes[0], notes[1], notes[2], notes[0]):
        await file(note)
    kept = await file.latest()
    assert kept is not None
    assert signed_by(kept, [LOG_KEYS[0].verifier, *(key.verifier for key in cosigners)]) == 3
    forked = str(sign_checkpoint(Checkpoint(ORIGIN, 9, bytes(32)), [*LOG_KEYS, *cosigners], 1))
    await file(forked)
    assert await file.latest() == kept


async def test_each_process_tells_the_same_of_a_checkpoint_whichever_signed_it(tmp_path: Path) -> None:
    witness = WitnessProcess(tmp_path)
    settings = witnessed_by(witness, tmp_path / "file")
    async with app(tmp_path / "db", **settings) as first, app(tmp_path / "db", **settings) as second:
        await write(first, 3)
        assert await sign(first) is not None
        await sign(second)  # took over what the first one signed, and asked the witness once more
        assert not has_quorum(first)
        assert not has_quorum(second)
        await asyncio.to_thread(witness.start)
        try:
            await write(second, 1)
            assert await sign(second) is not None
        finally:
            witness.stop()
        taken_over = await sign(first)
        assert taken_over is not None
        for each in (first, second):
            assert has_quorum(each)
            assert (await each.health()).log.signed_leaves == taken_over.size
            assert (await each.health()).unsigned_for is None


async def test_a_process_that_never_signed_tells_how_long_nothing_is_signed(tmp_path: Path) -> None:
    now = [datetime.now(UTC)]
    settings = {"log_key": LOG_KEY, "clock": lambda: now[0]}
    async with app(tmp_path / "db", **settings, witnesses=[Witness("http://127.0.0.1:9", WITNESS)]) as stepup:
        await write(stepup, 3)
        assert await sign(stepup) is None  # none of the places that keep checkpoints answers
        now[0] += timedelta(minutes=20)
        health = await stepup.health()
        assert health.unsigned_for is not None
        assert health.unsigned_for >= timedelta(minutes=20)
        assert any("no checkpoint has covered the whole log" in warning for warning in health.warnings)


async def test_a_process_that_signed_long_ago_is_not_late_while_others_sign(tmp_path: Path) -> None:
    now = [datetime.now(UTC)]
    settings = {"log_key": LOG_KEY, "clock": lambda: now[0]}
    async with app(tmp_path / "db", **settings) as first, app(tmp_path / "db", **settings) as second:
        await write(first, 3)
        assert await sign(first) is not None
        now[0] += timedelta(hours=2)
        await write(second, 1)
        assert await sign(second) is not None
        assert await sign(first) is not None  # its minute is over: it finds what the second one signed
        await write(second, 1)
        now[0] += timedelta(seconds=30)
        health = await first.health()
        assert health.unsigned_for is None or health.unsigned_for <= timedelta(minutes=1)


async def test_the_first_checkpoint_of_a_process_waits_until_one_place_says_what_was_signed_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    witness = Witness("http://127.0.0.1:9", WITNESS)
    async with app(tmp_path / "db", log_key=LOG_KEY, witnesses=[witness]) as stepup:
        await write(stepup, 3)
        assert await sign(stepup) is None
        assert "none of the places that keep them says what was signed last" in caplog.text
    (tmp_path / "file").write_text("not a note")
    async with app(tmp_path / "db", log_key=LOG_KEY, on_checkpoint=[CheckpointFile(tmp_path / "file")]) as stepup:
        assert await sign(stepup) is None
        assert "nothing is signed until it is put right" in caplog.text


async def test_a_tree_that_is_cut_back_under_a_running_app_is_never_signed(tmp_path: Path) -> None:
    path = tmp_path / "db"
    async with app(path, log_key=LOG_KEY) as stepup:
        await write(stepup, 10)
        await sign(stepup)
        with closing(sqlite3.connect(path, isolation_level=None)) as thief:
            for (name,) in thief.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                thief.execute(f"DROP TRIGGER {name}")
            thief.execute("UPDATE trees SET size = 4")
        await write(stepup, 3)
        assert await sign(stepup) is None
        assert fault_of(stepup) is Fault.STATE_MAC
        assert await alarms(stepup) == ["state_mac"]
        with closing(sqlite3.connect(path, isolation_level=None)) as owner:
            owner.execute("UPDATE trees SET size = 10")
        assert await sign(stepup) is not None  # it was put right
        assert not (await stepup.health()).log.fault


async def test_two_nodes_sign_one_history(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "file")
    one, other = (app(tmp_path / "db", log_key=LOG_KEY, on_checkpoint=[file]) for _ in range(2))
    async with one, other:
        for _ in range(10):
            await asyncio.gather(write(one, 3), write(other, 2), sign(one), sign(other))
        last = await sign(one)
        assert last is not None
        assert last.size == 50
        notes = [checkpoint_of(kept.note) for kept in await one._parts.store.records.checkpoints()]
        for older, newer in pairwise(notes):
            proof = await prove_consistency(one._parts.store.records, older.size, newer.size)
            assert is_consistent(old=older.size, old_root=older.root, size=newer.size, root=newer.root, proof=proof)
        assert fault_of(one) is fault_of(other) is None
    assert checkpoint_of((tmp_path / "file").read_text()).size == 50


async def test_the_file_never_goes_back_and_keeps_the_last_of_the_log_before(tmp_path: Path) -> None:
    file, history = CheckpointFile(tmp_path / "file"), History()
    for size in (5, 9, 7):
        await file(str(history.note(size)))
    assert checkpoint_of(str(await file.latest())).size == 9
    async with app(tmp_path / "db", log_key=key_text(NEW_KEYS), on_checkpoint=[file]) as stepup:
        await write(stepup, 2)
    assert checkpoint_of(str(await file.latest())).origin == "log.example.com/second"
    (before,) = set(tmp_path.glob("file.*")) - {tmp_path / "file.lock"}  # noqa: ASYNC240 - a small folder
    assert checkpoint_of(before.read_text()) == history.checkpoint(9)


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0)


@pytest.mark.slow
async def test_a_process_that_is_killed_while_it_signs_forks_nothing_and_goes_on(tmp_path: Path) -> None:
    chance = random.Random(20261128)  # noqa: S311 - moments of a test
    witness = WitnessProcess(tmp_path)
    await asyncio.to_thread(witness.start)
    key, file = tmp_path / "log.key", tmp_path / "checkpoint"
    key.write_text(LOG_KEY)
    command = [sys.executable, "-m", "tests.log.signing", str(tmp_path / "db"), str(key), str(file)]
    command += [witness.witness.url, witness.vkeys]
    sizes: list[int] = []
    try:
        for _ in range(12):
            process = await asyncio.to_thread(start, command)
            assert process.stdout is not None
            line = await asyncio.to_thread(process.stdout.readline)
            threading.Event().wait(chance.uniform(0, 0.15))
            os.kill(process.pid, signal.SIGKILL)
            rest, _ = await asyncio.to_thread(process.communicate)
            assert line.strip().isdigit(), "it signed nothing after it was killed"
            lines = [line, *rest.splitlines()]
            assert "fault" not in lines
            sizes += [int(text) for text in lines if text.strip().isdigit()]
        assert sizes == sorted(sizes)
        latest = await WitnessClient(witness.witness).latest(LOG_VERIFIERS)
        assert latest is not None
        assert latest[0].size >= sizes[-1]
        settings = {"witnesses": [witness.witness], "on_checkpoint": [CheckpointFile(file)]}
        async with app(tmp_path / "db", log_key=LOG_KEY, **settings) as stepup:
            await write(stepup, 1)
            last = await sign(stepup)
            assert last is not None
            assert has_quorum(stepup)
            assert fault_of(stepup) is None
            proof = await prove_consistency(stepup._parts.store.records, latest[0].size, last.size)
            root = checkpoint_of(last.note).root
            assert is_consistent(old=latest[0].size, old_root=latest[0].root, size=last.size, root=root, proof=proof)
            waiting = await stepup._parts.store.records.records_without_leaf(after=0, until=2**40)
            assert waiting == ()
        assert "ERROR" not in (tmp_path / "errors").read_text()
    finally:
        witness.stop()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"log_key": b"x" * 32}, "log_key is the Path of a key file, or the text of one"),
        ({"log_key": "x" * 40}, "log_key is the Path of a key file"),
        ({"log_key": Path("/nowhere/log.key")}, "log_key cannot be read"),
        ({"log_key": key_text(LOG_KEYS[:1])}, "needs both of its keys"),
        ({"on_checkpoint": [Keeper()]}, "need a log_key"),
        ({"witnesses": [Witness("http://127.0.0.1:9", WITNESS)]}, "need a log_key"),
        ({"log_key": LOG_KEY, "on_checkpoint": [print]}, "on_checkpoint has async callables"),
        ({"log_key": LOG_KEY, "witnesses": Witness("http://127.0.0.1:9", WITNESS)}, "witnesses is a list"),
        ({"log_key": LOG_KEY, "witnesses": ["http://127.0.0.1:9"]}, r"witnesses is a list of Witness\(url, vkey\)"),
        ({"log_key": LOG_KEY, "quorum": 1}, "a quorum of 1 cannot be had of 0 witnesses"),
        ({"log_key": LOG_KEY, "quorum": "all"}, "quorum is a whole number"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused_with_what_to_write(
    tmp_path: Path, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        app(tmp_path / "db", **settings)


def test_the_command_begins_a_new_log_and_says_whom_to_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(name: str, keys: Any) -> None:
        (tmp_path / "log.key").write_text(key_text(keys))
        (tmp_path / f"{name}.py").write_text(
            "from pathlib import Path\n"
            "from stepup_middleware import StepUpMiddleware\n"
            "from tests.log.signing import app as made\n"
            "async def bare(scope, receive, send): ...\n"
            f"app = StepUpMiddleware(bare, stepup=made(Path({str(tmp_path / 'db')!r}), "
            f"log_key=Path({str(tmp_path / 'log.key')!r})))\n"
        )

    async def begin() -> None:
        async with app(tmp_path / "db", log_key=LOG_KEY) as stepup:
            await write(stepup, 3)

    asyncio.run(begin())
    monkeypatch.syspath_prepend(tmp_path)
    written("same_name", LOG_KEYS)
    assert main(["audit", "new-log", "same_name:app"]) == 2
    assert "there is a log named log.example.com/stepup in this database already" in capsys.readouterr().err
    written("new_name", NEW_KEYS)
    assert main(["audit", "new-log", "new_name:app", "--checkpoint", "nonsense\n"]) == 2
    assert "one of the checkpoints that were kept is none" in capsys.readouterr().err
    assert main(["audit", "new-log", "new_name:app"]) == 0
    out = capsys.readouterr().out
    assert "the log log.example.com/second begins" in out
    assert str(NEW_KEYS[1].verifier) in out


async def test_where_the_folder_of_the_file_is_away_nothing_is_signed_until_it_is_back(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    kept: dict[str, Any] = {"log_key": LOG_KEY, "on_checkpoint": [CheckpointFile(share / "checkpoint")]}
    await an_older_copy_came_back(tmp_path, kept)
    away = share.rename(tmp_path / "away")  # it was not mounted at the start
    async with app(tmp_path / "db", **kept) as stepup:
        assert await sign(stepup) is None
        away.rename(share)
        assert await sign(stepup) is None
        assert fault_of(stepup) is Fault.TREE_SHRANK
    assert checkpoint_of((share / "checkpoint").read_text()).size == 5
