"""Real step-ups through the HTTP routes on a real SQLite file, with signed heads."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from stepup_middleware import SignedHead
from stepup_middleware.cli import main
from stepup_middleware.core.events import EventName
from stepup_middleware.core.heads import HeadKey, public_text
from tests.support import TRANSMIT, Browser, House, house_in

SEED = bytes(range(7, 39))
KEY = HeadKey(SEED)


class Witness:
    """A head sink: keeps each head outside the database, as lines of NDJSON."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heads: list[SignedHead] = []

    async def __call__(self, head: SignedHead) -> None:
        self.heads.append(head)
        line = {"chain": head.chain, "link": head.link, "hash": head.hash.hex()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def head_key_file(folder: Path) -> Path:
    """Write the trusted public key as an auditor has it."""
    path = folder / "head-key.txt"
    path.write_text(f"# the head key of the app\npublic_key={public_text(KEY.public_key)}\n", encoding="utf-8")
    return path


@asynccontextmanager
async def signing_house(folder: Path, **settings: Any) -> AsyncIterator[House]:
    """The app with a head key."""
    async with house_in(folder, **{"head_key": SEED, **settings}) as house:
        yield house


async def person(house: House, name: str, *kinds: str, **about: Any) -> Browser:
    """Return somebody with factors, the first enrolled after a fresh sign-in."""
    browser = Browser(house, house.sign_in(name, **about))
    for number, kind in enumerate(kinds):
        await browser.enrol(kind, by=kinds[0] if number else "")
    return browser


async def transmit(browser: Browser, kind: str, url: str = TRANSMIT) -> str:
    """Step up for an action, let it run to its end, and return the prompt's id."""
    answer = await browser.step_up("POST", url, kind)
    assert answer.status_code == 200, answer.text
    prompt_id = str(answer.json()["prompt"])
    house = browser.house
    while not [e for e in await house.events(EventName.ACTION_COMPLETED) if e.prompt_id == prompt_id]:
        await house.store.records.wait_for_audit(await house.store.records.last_seq(), seconds=1)
    return prompt_id


def run(capsys: Any, *arguments: object) -> tuple[int, str, str]:
    """Run the command line. Returns the exit code, the output and the errors."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def lines(text: str) -> Sequence[Any]:
    """Return the values of NDJSON."""
    return [json.loads(line) for line in text.splitlines() if line]
