"""Several at once: the page's app, its client, and its script."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx2
import pytest

from stepup_middleware import assets
from stepup_middleware.core.batches import MOST_PROMPTS

from .harness import Ran
from .person import Person

RUNS = ("2026-05", "2026-06", "2026-07")


async def refused(person: Person) -> list[dict[str, Any]]:
    return [(await person.ask("POST", f"/runs/{run}/transmit")).json() for run in RUNS]


async def test_the_question_has_each_amount_and_the_total_of_the_page(ran: Ran) -> None:
    person = Person(ran.names["app"])
    await person.enrol_passkey()
    ids = [each["prompt"]["id"] for each in await refused(person)]
    question = (await person.http.post("/stepup/batches", json={"prompts": ids})).json()
    amounts = ["USD 408,771.20", "USD 412,908.77", "USD 413,050.02"]
    assert [each["details"][1][1] for each in question["prompts"]] == amounts
    assert question["total"] == ["Together", "USD 1,234,729.99"]
    options = await person.http.post("/stepup/batches/webauthn/options", json={"prompts": ids})
    credential = person.passkey.get(options.json(), origin=person.origin)
    answer = await person.http.post("/stepup/batches/webauthn", json={"prompts": ids, "credential": credential})
    for run, each in zip(RUNS, answer.json()["tokens"], strict=True):
        headers = {"stepup-token": each["token"]}
        assert (await person.http.post(f"/runs/{run}/transmit", headers=headers)).text == f"sent {run}"


async def test_the_client_of_the_page_shows_every_request_and_gets_a_token_for_each(ran: Ran) -> None:
    """Of a purpose that takes a code, which the start page has."""
    person = Person(ran.main.app)
    with contextlib.suppress(AttributeError):
        await ran.main.stepup.start()
    await person.enrol_totp()
    urls = [f"/webhooks/{name}/rotate" for name in ("orders", "returns")]
    asked = [(await person.ask("POST", url)).json() for url in urls]
    shown: list[str] = []

    class Waiting:
        """The page's client is not async; this one waits for each call in its place."""

        def post(self, url: str, json: Any) -> httpx2.Response:
            return asyncio.run_coroutine_threadsafe(person.http.post(url, json=json), loop).result(30)

    def ask(text: str) -> str:
        shown.append(text)
        return person.code()

    loop = asyncio.get_running_loop()
    tokens = await asyncio.to_thread(ran.names["confirm_together"], Waiting(), asked, ask)
    assert shown == ["Authorize webhook secret rotation\nWebhook: orders\nWebhook: returns"]
    for url, each in zip(urls, asked, strict=True):
        headers = {"stepup-token": tokens[each["prompt"]["id"]]}
        assert (await person.http.post(url, headers=headers)).text.startswith("Rotated.")


@pytest.mark.block("on.js")
@pytest.mark.block("send.js")
def test_the_figures_and_the_script_of_the_page_are_those_of_the_code(ran: Ran, blocks: dict[str, str]) -> None:
    assert MOST_PROMPTS == 50
    assert 1000 < len(assets.bundled()["batch.js"].gzipped) < 2500
    assert "batch.js" in assets.STABLE
    assert "stepup.configure({ batch: true })" in blocks["on.js"]
    assert "stepup.fetch" in blocks["send.js"]
