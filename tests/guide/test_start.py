"""The five-minute start: the app that it writes, and each of its commands typed in an empty folder."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Browser, expect

from tests.e2e.conftest import OWNER, browser
from tests.machine import free_port
from tests.terminal import output_of, said, typed

from .harness import KEY, Ran, blocks_of
from .person import NAVIGATION, Person, plug_in_passkey

__all__ = ["browser"]  # a fixture

ROOT = Path(__file__).parents[2]
ROTATE = "/webhooks/orders/rotate"


async def test_the_page_shows_the_button_to_whoever_is_signed_in(ran: Ran) -> None:
    assert "Rotate the secret" in (await Person(ran.names["app"]).http.get("/")).text
    stranger = (await Person(ran.names["app"], None).http.get("/")).text
    assert "Sign in" in stranger
    assert ran.names["stepup"].head in stranger


@pytest.mark.parametrize("kind", ["passkey", "totp"])
async def test_the_route_runs_once_for_one_proof_with_either_factor(ran: Ran, kind: str) -> None:
    person = Person(ran.names["app"])
    await (person.enrol_totp() if kind == "totp" else person.enrol_passkey())
    asked = await person.ask("POST", ROTATE)
    assert asked.json()["details"] == [["Webhook", "orders"]]
    token = await person.prove(asked, kind)
    done = await person.http.post(ROTATE, headers={"stepup-token": token})
    assert done.text == f"Rotated. owner@axis.example authorized it with a {kind}."
    again = await person.http.post(ROTATE, headers={"stepup-token": token})
    assert again.json()["code"] == "STEPUP_TOKEN_REUSED"
    assert (await person.ask("POST", ROTATE)).json()["code"] == "STEPUP_REQUIRED"


async def test_nobody_gets_through_without_a_factor_or_without_a_session(ran: Ran) -> None:
    assert (await Person(ran.names["app"]).http.post(ROTATE)).json()["code"] == "STEPUP_FACTOR_INSUFFICIENT"
    assert (await Person(ran.names["app"], None).http.post(ROTATE)).json()["code"] == "STEPUP_NOT_SIGNED_IN"


def write_main(folder: Path, port: str) -> None:
    """Save ``main.py`` as the page says, for another port."""
    (main,) = [block.text for block in blocks_of("start") if block.name == "main.py"]
    (folder / "main.py").write_text(main.replace("8000", port), encoding="utf-8")


@pytest.mark.e2e
@pytest.mark.asyncio(loop_scope="session")
async def test_in_a_browser_it_goes_as_the_page_says(browser: Browser, tmp_path: Path) -> None:
    port = str(free_port())
    write_main(tmp_path, port)
    (tmp_path / "secret.key").write_text(KEY, encoding="utf-8")
    serve = f"exec {sys.executable} -m uvicorn main:app --host localhost --port {port}"
    async with typed(serve, tmp_path, PYTHONUNBUFFERED="1") as server:
        await said(server, rb"running on http://localhost:")
        page = await browser.new_page()
        await plug_in_passkey(page)
        await page.goto(f"http://localhost:{port}")
        await page.get_by_label("Name").fill(OWNER)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("link", name="Your factors").click()
        await page.get_by_role("button", name="Add passkey").click()
        await expect(page.locator("[data-stepup-factor]")).to_have_count(1)
        await page.goto(f"http://localhost:{port}")
        await page.get_by_role("button", name="Rotate the secret").click()
        await expect(page.locator("dialog[open]")).to_contain_text("orders")
        await page.get_by_role("button", name="Use passkey").click()
        await expect(page.locator("body")).to_have_text(f"Rotated. {OWNER} authorized it with a passkey.")
        await page.context.close()


@pytest.mark.slow
@pytest.mark.block("install", "keygen", "serve", "refused", "look")
async def test_a_stranger_types_the_commands_in_an_empty_folder(blocks: dict[str, str], tmp_path: Path) -> None:
    port = str(free_port())  # 8000 may be taken where the tests run
    (tmp_path / "stepup_middleware").symlink_to(ROOT)
    await output_of(blocks["install"], tmp_path)
    folder = tmp_path / "payday"
    await output_of(blocks["keygen"], folder)
    write_main(folder, port)
    serve = f"exec {blocks['serve'].strip()} --port {port}"
    async with typed(serve, folder, PYTHONUNBUFFERED="1") as server:
        await said(server, rb"running on http://localhost:" + port.encode())
        refused = await output_of(blocks["refused"].replace("8000", port), folder)
        assert " 401 " in refused and "STEPUP_NOT_SIGNED_IN" in refused
        await as_a_person(f"http://localhost:{port}")
    listed, exported = [await output_of(line, folder) for line in blocks["look"].splitlines()]
    # nobody signs this log, so that the command does not exit with 0
    verified = await output_of(".venv/bin/stepup audit verify --app main:app || true", folder)
    assert re.search(r"POST +/webhooks/\{webhook\}/rotate +webhook_secret_rotation +any", listed)
    assert "0 faults: nothing is wrong" in verified
    words = ("CHALLENGE_REQUESTED", "STEPUP_VERIFIED", "ACTION_AUTHORIZED", "ACTION_COMPLETED")
    assert [word for word in words if word not in exported] == []


async def as_a_person(url: str) -> None:
    """Sign in, enrol a passkey and press the button, over HTTP with a real key."""
    person = Person(None, None, origin=url)  # type: ignore[arg-type]  # its app is behind a socket
    person.http = httpx2.AsyncClient(
        base_url=url, headers={"origin": url, "sec-fetch-site": "same-origin", "accept": "application/json"}
    )
    async with person.http:
        home = await person.http.post("/sign-in", data={"name": "owner@axis.example"}, follow_redirects=True)
        assert "Rotate the secret" in home.text
        await person.enrol_passkey()
        shown = await person.http.post(ROTATE, headers=NAVIGATION)
        assert "Authorize webhook secret rotation" in shown.text and "orders" in shown.text
        done = await person.act("POST", ROTATE)
        assert done.text.startswith("Rotated.")
