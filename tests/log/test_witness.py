"""The witness: every status of the standard, never a fork, and a memory that no kill takes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.log.checkpoints import Checkpoint, read_checkpoint
from stepup_middleware.log.keys import WITNESS_TYPES, SigningKey, sign_checkpoint, verify_note
from stepup_middleware.log.merkle import EMPTY_ROOT
from stepup_middleware.log.notes import LARGEST_NOTE, Note, NoteSignature, read_note, read_signatures
from stepup_middleware.log.witness.app import WitnessApp
from stepup_middleware.log.witness.decision import (
    LARGEST_REQUEST,
    AddCheckpoint,
    NotCosigned,
    check_signed,
    read_add_checkpoint,
)
from stepup_middleware.log.witness.state import WitnessState
from tests.log.histories import (
    AT,
    LOG_KEYS,
    LOG_VERIFIERS,
    ORIGIN,
    STRANGER,
    WITNESS_KEYS,
    WITNESS_VERIFIERS,
    History,
)

TRUE = History()
MONITORED = f"/{sha256(ORIGIN.encode()).hexdigest()}/checkpoint"


class Answered:
    """What the app sent."""

    def __init__(self, sent: list[dict[str, Any]]) -> None:
        self.status: int = sent[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        self.body = b"".join(message.get("body", b"") for message in sent[1:])
        assert int(self.headers["content-length"]) == len(self.body) or not self.body

    @property
    def text(self) -> str:
        return self.body.decode()


async def call(app: WitnessApp, path: str, body: bytes = b"", method: str = "POST", pieces: int = 1) -> Answered:
    """Send a request in so many pieces."""
    step = -(-len(body) // pieces) or 1
    parts = [body[at : at + step] for at in range(0, len(body), step)] or [b""]
    messages = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)} for number, part in enumerate(parts, 1)
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await app({"type": "http", "path": path, "method": method, "headers": []}, receive, send)
    return Answered(sent)


async def add(app: WitnessApp, request: AddCheckpoint | bytes) -> Answered:
    return await call(app, "/add-checkpoint", request if isinstance(request, bytes) else str(request).encode())


@pytest.fixture
def app(tmp_path: Path) -> Iterator[WitnessApp]:
    state = WitnessState(tmp_path / "witness.state", WITNESS_KEYS)
    yield WitnessApp(state, LOG_VERIFIERS, clock=lambda: AT + 7.9)
    state.close()


async def test_a_checkpoint_that_grew_is_cosigned_with_the_time_of_the_witness(app: WitnessApp) -> None:
    for old, size in ((0, 5), (5, 5), (5, 64), (64, 177)):
        answered = await add(app, TRUE.request(old, size))
        assert answered.status == 200
        note = Note(TRUE.note(size).text, read_signatures(answered.body))
        verified = verify_note(note, WITNESS_VERIFIERS)
        assert [(each.key, each.at_seconds) for each in verified] == [(key, AT + 7) for key in WITNESS_VERIFIERS]
    monitored = await call(app, MONITORED, method="GET")
    assert monitored.status == 200
    note = read_note(monitored.body)
    assert read_checkpoint(note.text) == TRUE.checkpoint(177)
    assert len(verify_note(note, [*LOG_VERIFIERS, *WITNESS_VERIFIERS])) == 4


async def test_the_old_size_must_be_what_was_cosigned_last_and_the_answer_says_it(app: WitnessApp) -> None:
    for size, request in ((0, TRUE.request(3, 9)), (9, TRUE.request(8, 9)), (9, TRUE.request(0, 12))):
        if size:
            await add(app, TRUE.request(0, 9))
        answered = await add(app, request)
        assert (answered.status, answered.text) == (409, f"{size}\n")
        assert answered.headers["content-type"] == "text/x.tlog.size"


async def test_a_fork_is_never_cosigned_and_the_memory_stays(app: WitnessApp, caplog: pytest.LogCaptureFixture) -> None:
    await add(app, TRUE.request(0, 100))
    for shared in (0, 1, 63, 99):
        fork = TRUE.fork(shared)
        for size in (100, 101, 128, 180):
            for proof in (fork.proof(100, size), TRUE.proof(100, size), ()):
                note = fork.note(size)
                assert (await add(app, AddCheckpoint(100, proof, note))).status == 422
    assert caplog.records[-1].levelname == "ERROR"  # the note that proves the fork is kept where somebody looks
    assert str(note) in caplog.text
    assert (await add(app, TRUE.request(100, 180))).status == 200


async def test_proofs_that_are_not_of_the_two_trees_are_refused(app: WitnessApp) -> None:
    assert (await add(app, AddCheckpoint(0, TRUE.proof(3, 10), TRUE.note(10)))).status == 422
    empty = Checkpoint(ORIGIN, 0, b"\0" * 32)
    assert (await add(app, AddCheckpoint(0, (), sign_checkpoint(empty, LOG_KEYS, AT)))).status == 422
    of_nothing = sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), LOG_KEYS, AT)
    assert (await add(app, AddCheckpoint(0, (), of_nothing))).status == 200
    assert (await add(app, AddCheckpoint(0, (), of_nothing))).status == 200
    assert (await add(app, TRUE.request(0, 10))).status == 200
    for proof in ((), TRUE.proof(9, 20), TRUE.proof(10, 20)[:-1], (*TRUE.proof(10, 20), EMPTY_ROOT)):
        assert (await add(app, AddCheckpoint(10, proof, TRUE.note(20)))).status == 422
    assert (await add(app, AddCheckpoint(10, TRUE.proof(5, 10), TRUE.note(10)))).status == 422
    assert (await add(app, TRUE.request(10, 20))).status == 200


async def test_only_the_keys_of_a_known_log_count(app: WitnessApp) -> None:
    unknown = SigningKey.generate("other.example", LOG_KEYS[0].verifier.type)
    note = sign_checkpoint(Checkpoint("other.example", 5, EMPTY_ROOT), [unknown], AT)
    assert (await add(app, AddCheckpoint(0, (), note))).status == 404
    for signers in ([STRANGER], [*WITNESS_KEYS], [unknown]):
        assert (await add(app, AddCheckpoint(0, (), sign_checkpoint(TRUE.checkpoint(5), signers, AT)))).status == 403
    good = TRUE.note(5)
    bad = NoteSignature(ORIGIN, LOG_VERIFIERS[1].key_id, b"\0" * 2428)
    assert (await add(app, AddCheckpoint(0, (), Note(good.text, (good.signatures[0], bad))))).status == 403
    other_text = Note(TRUE.note(6).text, good.signatures)
    assert (await add(app, AddCheckpoint(0, (), other_text))).status == 403
    one_of_two = Note(good.text, good.signatures[:1])
    with_a_stranger = one_of_two.signed_also([STRANGER.sign(TRUE.checkpoint(5), AT)])
    assert (await add(app, AddCheckpoint(0, (), with_a_stranger))).status == 200


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "the word old"),
        (b"old 0", "empty line"),
        (b"\xff\n\n", "UTF-8"),
        (b"old 01\n\n" + str(TRUE.note(3)).encode(), "leading zeroes"),
        (b"old  0\n\n" + str(TRUE.note(3)).encode(), "leading zeroes"),
        (b"old -1\n\n" + str(TRUE.note(3)).encode(), "leading zeroes"),
        (b"old 0\r\n\r\n" + str(TRUE.note(3)).encode(), "base64"),
        (b"old 0\nAAAA\n\n" + str(TRUE.note(3)).encode(), "32 bytes"),
        (b"old 0\n" + b"\n".join([b"A" * 43 + b"="] * 64) + b"\n\n" + str(TRUE.note(3)).encode(), "at most 63"),
        (b"old 0\n\nnot a checkpoint\n\n" + "— a AAAAAAAA\n".encode(), "three lines"),
        (b"old 0\n\n" + TRUE.note(3).text.encode(), "empty line"),
        (str(AddCheckpoint(4, (), TRUE.note(3))).encode(), "larger than"),
    ],
)  # fmt: skip
async def test_what_is_no_request_is_refused_with_its_reason(app: WitnessApp, raw: bytes, problem: str) -> None:
    answered = await add(app, raw)
    assert answered.status == 400
    assert problem in answered.text


async def test_requests_are_bounded_and_have_one_address_and_method(app: WitnessApp) -> None:
    body = str(TRUE.request(0, 3)).encode()
    assert (await call(app, "/add-checkpoint", body, "GET")).status == 405
    assert (await call(app, MONITORED, b"", "POST")).headers["allow"] == "GET"
    for path in ("/", "/add-checkpoint/", "//add-checkpoint", "/add-checkpoint/x", MONITORED.upper(), MONITORED[:-1]):
        assert (await call(app, path, body)).status == 404
    assert (await call(app, MONITORED, method="GET")).status == 404
    assert (await call(app, f"/{'0' * 64}/checkpoint", method="GET")).status == 404
    assert (await add(app, b"x" * (LARGEST_REQUEST + 1))).status == 413
    assert LARGEST_REQUEST > LARGEST_NOTE + 63 * 45 + 30
    assert (await call(app, "/add-checkpoint", body, pieces=7)).status == 200
    headed = await call(app, MONITORED, method="HEAD")
    assert (headed.status, headed.body) == (200, b"")


async def test_a_body_that_does_not_end_is_given_up(app: WitnessApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepup_middleware.log.witness.app.READ_SECONDS", 0.01)
    sent: list[dict[str, Any]] = []

    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await app({"type": "http", "path": "/add-checkpoint", "method": "POST", "headers": []}, never, send)
    assert Answered(sent).status == 408
    broken: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"old", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def breaks_off() -> dict[str, Any]:
        return broken.pop(0)

    sent.clear()
    await app({"type": "http", "path": "/add-checkpoint", "method": "POST", "headers": []}, breaks_off, send)
    assert Answered(sent).status == 400


STEPS = st.lists(
    st.tuples(st.sampled_from(("true", "fork 3", "fork 20", "fork 39")), st.integers(0, 40), st.integers(0, 40),
              st.sampled_from(("own", "true", "none"))),
    max_size=25,
)  # fmt: skip
HISTORIES = {"true": TRUE, **{f"fork {shared}": TRUE.fork(shared) for shared in (3, 20, 39)}}


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_whatever_is_asked_in_whatever_order_all_that_was_cosigned_is_one_history(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int, str]]
) -> None:
    path = tmp_path_factory.mktemp("witness") / "state"
    state = WitnessState(path, WITNESS_KEYS)
    cosigned: list[Checkpoint] = []
    for number, (name, old, size, proof) in enumerate(steps):
        history = HISTORIES[name]
        old = cosigned[-1].size if cosigned and number % 2 else old
        given_ = {"own": history.proof(old, size), "true": TRUE.proof(old, size), "none": ()}[proof]
        request = AddCheckpoint(old, given_, history.note(size))
        try:
            check_signed(request, {ORIGIN: LOG_VERIFIERS})
            state.cosign(request, AT)
        except NotCosigned:
            continue
        cosigned.append(history.checkpoint(size))
        if number % 5 == 0:  # a restart in between changes nothing
            state.close()
            state = WitnessState(path, WITNESS_KEYS)
    state.close()
    assert [each.size for each in cosigned] == sorted(each.size for each in cosigned)
    assert any(all(history.checkpoint(each.size) == each for each in cosigned) for history in HISTORIES.values())


async def test_of_many_at_once_the_memory_never_goes_back(app: WitnessApp) -> None:
    answers = await asyncio.gather(*(add(app, TRUE.request(0, size)) for size in range(1, 30)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 28
    (size,) = {answer.text for answer in answers if answer.status == 409}
    first = int(size)
    answers = await asyncio.gather(*(add(app, TRUE.request(first, 30 + more)) for more in range(20)))
    assert [answer.status for answer in answers].count(200) == 1


async def test_nothing_is_signed_that_could_not_be_kept(tmp_path: Path) -> None:
    state = WitnessState(tmp_path / "state", WITNESS_KEYS)
    app = WitnessApp(state, LOG_VERIFIERS)
    await add(app, TRUE.request(0, 5))
    other = sqlite3.connect(tmp_path / "state")
    other.execute("CREATE TRIGGER full BEFORE UPDATE ON checkpoints BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
    other.commit()
    answered = await add(app, TRUE.request(5, 9))
    assert answered.status == 503
    assert "\N{EM DASH}" not in answered.text
    other.execute("DROP TRIGGER full")
    other.commit()
    other.close()
    assert (await add(app, TRUE.request(5, 9))).status == 200
    state.close()


async def test_the_memory_itself_refuses_to_shrink(tmp_path: Path) -> None:
    state = WitnessState(tmp_path / "state", WITNESS_KEYS)
    state.cosign(TRUE.request(0, 9), AT)
    state.close()
    with sqlite3.connect(tmp_path / "state") as sql, pytest.raises(sqlite3.IntegrityError, match="never shrinks"):
        sql.execute("UPDATE checkpoints SET size = 3")
    sql.close()


def test_a_state_belongs_to_one_witness_and_is_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = WitnessState(path, WITNESS_KEYS)
    assert state.is_new
    assert path.stat().st_mode & 0o777 == 0o600
    state.close()
    again = WitnessState(path, WITNESS_KEYS)
    assert not again.is_new
    again.close()
    other = [SigningKey.generate("other.example", WITNESS_TYPES[0])]
    with pytest.raises(ConfigurationError, match="a state of its own"):
        WitnessState(path, other)
    (tmp_path / "text").write_text("not a database, and longer than nothing" * 40)
    with pytest.raises(ConfigurationError, match="not the state of a witness"):
        WitnessState(tmp_path / "text", WITNESS_KEYS)
    with sqlite3.connect(tmp_path / "database") as sql:
        sql.execute("CREATE TABLE theirs (one INTEGER)")
    sql.close()
    with pytest.raises(ConfigurationError, match="another program"):
        WitnessState(tmp_path / "database", WITNESS_KEYS)


def test_a_witness_without_a_log_or_with_the_name_of_one_does_not_start(tmp_path: Path) -> None:
    state = WitnessState(tmp_path / "state", WITNESS_KEYS)
    with pytest.raises(ConfigurationError, match="at least one log"):
        WitnessApp(state, [])
    with pytest.raises(ConfigurationError, match="both called"):
        WitnessApp(state, WITNESS_VERIFIERS)
    state.close()


@given(st.integers(0, 199), st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_a_request_is_read_back(old: int, size: int) -> None:
    request = TRUE.request(old, size)
    assert read_add_checkpoint(str(request).encode()) == request
