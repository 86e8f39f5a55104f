"""``stepup call`` in a terminal: the code is typed there, the link is shown there, and pipes stay what they are."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import sys
from pathlib import Path

import pytest

from stepup_middleware import EventName
from stepup_middleware.cli import main
from stepup_middleware.core.approvals import ApprovalState
from tests.support import ROTATE, Browser, House

from .serving import terminal
from .test_client import code_now, end


def command(house: House, url: str, *more: str) -> list[str]:
    cookie = f"Cookie: session={house.sign_in('ada').session_id}"
    return ["-m", "stepup_middleware", "call", "POST", url, "-H", cookie, *more]


async def test_a_code_is_typed_and_the_answer_goes_where_it_is_piped(house: House, ada: Browser, url: str) -> None:
    body = command(house, url + "/bound", "-H", "Content-Type: application/json", "-d", '{"domain": "pay.example"}')
    async with terminal(*body) as program:
        await program.shows("Authorize custom domain change")
        await program.shows("Code from your authenticator app")
        program.types("000000\n")
        await program.shows(r"(?s)Code from your authenticator app.+Code from your authenticator app")
        program.types(code_now(house, ada) + "\n")
        assert await program.ended() == (0, b"ran")
    assert house.bodies == [b'{"domain": "pay.example"}']


async def test_the_link_its_digits_and_a_code_for_the_phone_are_shown_and_a_denial_ends_it(
    house: House, ada: Browser, url: str
) -> None:
    async with terminal(*command(house, url + ROTATE)) as program:
        await program.shows("or nothing, for a link")
        program.types("\n")
        await program.shows(r"https://example\.com/stepup/approve/[A-Z]{4}-[A-Z]{4}")
        await program.shows(r"type these digits there: \d\d")
        await program.shows("Ctrl-C takes the request back")
        assert "\u2588" in program.shown
        asked = await house.soon(EventName.APPROVAL_REQUESTED)
        await end(house, asked.prompt_id, ApprovalState.DENIED)
        await program.shows("stepup: ")
        assert await program.ended() == (1, b"")
    assert house.total == 0


@pytest.mark.parametrize("moment", ["code", "link"])
async def test_an_interruption_leaves_nothing_open(house: House, ada: Browser, url: str, moment: str) -> None:
    async with terminal(*command(house, url + ROTATE)) as program:
        await program.shows("or nothing, for a link")
        if moment == "link":
            program.types("\n")
            await program.shows("Ctrl-C takes the request back")
        program.types("\x03")
        await program.shows("taken back, nothing was done")
        assert (await program.ended())[0] == 130
    asked = await house.soon(EventName.APPROVAL_REQUESTED)
    found = await house.store.records.get_approval(asked.prompt_id)
    assert found is not None
    assert found.state is ApprovalState.CANCELLED
    assert house.total == 0


ELSEWHERE = """
from signal import SIG_BLOCK, SIGINT, default_int_handler, pthread_sigmask, signal
from threading import Event, Thread

from stepup_middleware.client import Question, TerminalScreen

signal(SIGINT, default_int_handler)  # as in a terminal, also where the tests were started in the background
Thread(target=Event().wait, daemon=True).start()
pthread_sigmask(SIG_BLOCK, [SIGINT])
words = {"title": "Pay", "consequence": "Money leaves.", "note": "", "address": ""}
try:
    TerminalScreen().ask_code(Question(**words, details=(), takes_code=True, approval=None, problem={}))
except KeyboardInterrupt:
    print("taken back")
"""


async def test_an_interruption_is_noticed_also_where_it_interrupts_no_read() -> None:
    """As one that comes in the moment before the read begins: here the signal goes to another thread."""
    async with terminal("-c", ELSEWHERE) as program:
        await program.shows("Code from your authenticator app")
        program.types("\x03")
        assert await program.ended() == (0, b"taken back\n")


async def test_an_interruption_once_the_token_has_left_says_that_it_may_have_been_done(
    house: House, ada: Browser, url: str
) -> None:
    async with terminal(*command(house, url + "/slow")) as program:
        await program.shows("or nothing, for a link")
        program.types(code_now(house, ada) + "\n")
        await house.entered.wait()
        program.types("\x03")
        await program.shows("look whether it was done before you try again")
        assert (await program.ended())[0] == 130
        house.gate.set()
    assert house.runs == {"/slow": 1}


async def test_without_a_terminal_the_link_goes_to_standard_error(house: House, ada: Browser, url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command(house, url + ROTATE), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    asked = await house.soon(EventName.APPROVAL_REQUESTED)
    await end(house, asked.prompt_id, ApprovalState.DENIED)
    out, error = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert re.search(rb"https://example.com/stepup/approve/[A-Z-]{9}\n", error)
    assert b"Code from" not in error


@pytest.mark.parametrize("wrong", [["-H", "no colon"], ["-d", "@missing"]])
async def test_a_wrong_call_is_told_before_anything_is_sent(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", "POST", "http://localhost:9/x", *wrong]) == 2
    assert capsys.readouterr().err.startswith("stepup: ")


async def test_a_file_with_the_answer_is_its_owners_alone_and_one_that_is_there_keeps_its_mode(
    house: House, ada: Browser, url: str, tmp_path: Path
) -> None:
    new, shared = tmp_path / "new", tmp_path / "shared"
    shared.write_text("longer than what is written, or not", encoding="utf-8")
    shared.chmod(0o640)
    before = os.umask(0)
    try:
        for path in (new, shared):
            async with terminal(*command(house, url + "/open", "--output", str(path))) as program:
                assert (await program.ended())[0] == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    assert stat.S_IMODE(shared.stat().st_mode) == 0o640
    assert new.read_text(encoding="utf-8") == shared.read_text(encoding="utf-8") == "open"
