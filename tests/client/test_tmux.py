"""``stepup call`` in the terminal that many work in: what tmux shows of it, from the link to the end."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import zxingcpp
from PIL import Image

from stepup_middleware import EventName
from stepup_middleware.core.approvals import ApprovalState
from tests.machine import program
from tests.support import ROTATE, Browser, House

from .serving import SECONDS
from .test_call import command
from .test_client import code_now

_HALVES = {" ": (0, 0), "\u2580": (1, 0), "\u2584": (0, 1), "\u2588": (1, 1)}
_CODE = re.compile(r"(?:^[ \u2580\u2584\u2588]{20,}\n?)+", re.MULTILINE)


class Tmux:
    """A session of a tmux server of its own."""

    def __init__(self, socket: Path) -> None:
        self._tmux = [program("tmux"), "-S", str(socket), "-f", "/dev/null"]

    async def run(self, *arguments: str) -> str:
        """Give tmux a command, and return what it prints."""
        process = await asyncio.create_subprocess_exec(
            *self._tmux, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, out
        return out.decode()

    async def shows(self, pattern: str) -> re.Match[str]:
        """Return what is found on the screen, once it is there."""
        screen = ""
        try:
            async with asyncio.timeout(SECONDS):
                while (found := re.search(pattern, screen)) is None:
                    await asyncio.sleep(0.05)
                    screen = await self.run("capture-pane", "-p")
        except TimeoutError:
            raise AssertionError(screen) from None
        return found


@asynccontextmanager
async def typed(folder: Path, *arguments: str) -> AsyncIterator[Tmux]:
    """Run a Python program in a shell in tmux, which shows its exit status in the end."""
    tmux = Tmux(folder / "tmux")
    line = f"trap : INT; {shlex.join([sys.executable, *arguments])}; echo ended with $?; cat"
    await tmux.run("new-session", "-d", "-x", "100", "-y", "60", "sh", "-c", line)
    try:
        yield tmux
    finally:
        await tmux.run("kill-server")


def read_code(screen: str) -> str:
    """Return what a phone reads from the code on a screen."""
    found = _CODE.search(screen)
    assert found is not None, screen
    lines = found[0].splitlines()
    picture = Image.new("L", (max(map(len, lines)) + 8, 2 * len(lines) + 8), 0)
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            for half, light in enumerate(_HALVES[character]):
                picture.putpixel((column + 4, 2 * row + half + 4), 255 * light)
    (code,) = zxingcpp.read_barcodes(picture.resize((picture.width * 6, picture.height * 6), Image.Resampling.NEAREST))
    return str(code.text)


async def test_the_link_the_digits_and_the_code_are_shown_and_it_is_done_once_approved(
    house: House, ada: Browser, url: str, tmp_path: Path
) -> None:
    async with typed(tmp_path, *command(house, url + ROTATE)) as tmux:
        await tmux.shows("or nothing, for a link")
        await tmux.run("send-keys", "Enter")
        shown = (await tmux.shows(r"(?s).*type these digits there: (\d\d).*Ctrl-C takes the request back"))[0]
        link = re.search(r"https://example\.com(/stepup/approve/[A-Z]{4}-[A-Z]{4})", shown)
        digits = re.search(r"type these digits there: (\d\d)", shown)
        assert link is not None
        assert digits is not None
        assert read_code(shown) == link[0]
        assert house.total == 0
        assert (await ada.post(link[1], json={"match": digits[1]})).status_code == 200
        answer = await ada.post(f"{link[1]}/totp", json={"code": code_now(house, ada)})
        assert answer.status_code == 200, answer.text
        await tmux.shows(r"(?s)Approved\..*ended with 0")
    assert house.total == 1


async def test_a_denial_ends_it(house: House, ada: Browser, url: str, tmp_path: Path) -> None:
    async with typed(tmp_path, *command(house, url + ROTATE)) as tmux:
        await tmux.shows("or nothing, for a link")
        await tmux.run("send-keys", "Enter")
        link = (await tmux.shows(r"(?s)https://example\.com(/stepup/approve/[A-Z]{4}-[A-Z]{4}).*Ctrl-C"))[1]
        assert (await ada.post(f"{link}/deny", json={})).status_code in {200, 204}
        await tmux.shows(r"(?s)stepup: .*ended with 1")
    assert house.total == 0


async def test_ctrl_c_leaves_nothing_open(house: House, ada: Browser, url: str, tmp_path: Path) -> None:
    async with typed(tmp_path, *command(house, url + ROTATE)) as tmux:
        await tmux.shows("or nothing, for a link")
        await tmux.run("send-keys", "Enter")
        await tmux.shows("Ctrl-C takes the request back")
        await tmux.run("send-keys", "C-c")
        await tmux.shows("(?s)taken back, nothing was done.*ended with 130")
    asked = await house.soon(EventName.APPROVAL_REQUESTED)
    found = await house.store.records.get_approval(asked.prompt_id)
    assert found is not None
    assert found.state is ApprovalState.CANCELLED
    prompt = await house.store.get_prompt(asked.prompt_id, now=house.clock())
    assert prompt is None or prompt.state.value == "cancelled"
    assert house.total == 0
