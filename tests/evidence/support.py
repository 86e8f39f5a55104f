"""Real step-ups through the HTTP routes on a real SQLite file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from stepup_middleware.cli import main
from stepup_middleware.core.events import EventName
from tests.support import TRANSMIT, Browser, House


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
