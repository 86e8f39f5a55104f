"""What the README says is so: its commands, its example and its picture of the floors."""

from __future__ import annotations

import argparse
import asyncio
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Browser, expect

from stepup_middleware.cli import _parser, main
from tests.e2e.conftest import browser, listening
from tests.guide.person import plug_in_passkey
from tests.machine import free_port, wheel_in
from tests.mutants.__main__ import copy_of_project
from tests.terminal import output_of, said, typed

__all__ = ["browser"]  # a fixture

FIVE_MINUTES = "Five minutes in your own app"
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1)


@pytest.mark.parametrize(("title", "program"), [("Try it", "-m demo_app"), ("Test it", "pytest")])
def test_each_command_section_holds_one_line_of_one_block(title: str, program: str) -> None:
    (block,) = blocks(title, "sh")
    (line,) = block.splitlines()
    assert line.endswith(program)


def blocks(title: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", section(title), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("source", ["a clone", "a wheel"])
async def test_a_stranger_types_the_five_minutes_in_an_empty_folder_and_steps_up(
    browser: Browser, tmp_path: Path, source: str
) -> None:
    port = str(free_port())  # 8000 may be taken where the tests run
    (tmp_path / "stepup_middleware").symlink_to(ROOT)
    folder = tmp_path / "payday"
    folder.mkdir()
    install, serve = blocks(FIVE_MINUTES, "sh")
    if source == "a wheel":
        install = install.replace("../stepup_middleware", str(wheel_in(tmp_path)))
    (main,) = blocks(FIVE_MINUTES, "python")
    async with asyncio.timeout(300):
        await output_of(install, folder)
        (folder / "main.py").write_text(main.replace("8000", port), encoding="utf-8")
        async with typed(f"exec {serve.strip()} --port {port}", folder, PYTHONUNBUFFERED="1") as server:
            await said(server, rb"running on http://localhost:")
            page = await browser.new_page()
            await plug_in_passkey(page)
            url = f"http://localhost:{port}"
            transmit = f"{url}/payroll/2026-06/transmit"
            asked = await page.context.request.post(transmit)
            assert (asked.status, (await asked.json())["code"]) == (401, "STEPUP_NOT_SIGNED_IN")
            await page.goto(url)
            await page.get_by_role("link", name="Your factors").click()
            await page.get_by_role("button", name="Add passkey").click()
            await expect(page.locator("[data-stepup-factor]")).to_have_count(1)
            await page.goto(url)
            await page.get_by_role("button", name="Transmit").click()
            await expect(page.locator("dialog[open]")).to_contain_text("214")
            await page.get_by_role("button", name="Use passkey").click()
            await expect(page.locator("body")).to_have_text("Sent, proved with a passkey.")
            again = await page.context.request.post(transmit, headers={"origin": url})
            assert (again.status, (await again.json())["code"]) == (401, "STEPUP_REQUIRED")
            await page.context.close()
        listed = await output_of(".venv/bin/stepup routes main:app", folder)
        assert re.search(r"POST +/payroll/\{run\}/transmit +payroll_ach_transmit", listed)


@pytest.mark.slow
async def test_a_stranger_types_the_one_line_of_the_demo_in_a_fresh_clone(tmp_path: Path) -> None:
    port = str(free_port())
    folder = copy_of_project(tmp_path / "clone")
    (line,) = blocks("Try it", "sh")
    async with typed(f"{line.strip()} --port {port}", folder, PYTHONUNBUFFERED="1") as demo, asyncio.timeout(300):
        await said(demo, rb"AxisSynapse is at http://localhost:" + port.encode())
        await listening(int(port))
        async with httpx2.AsyncClient(base_url=f"http://localhost:{port}", follow_redirects=True, timeout=60) as http:
            form = {"email": "owner@axis.example", "password": "axis-demo"}
            signed_in = await http.post("/sign-in", data=form, headers={"sec-fetch-site": "same-origin"})
            guide = await http.get("/guide")
    assert (signed_in.status_code, guide.status_code) == (200, 200)
    assert "Sign out" in signed_in.text


def test_the_picture_of_the_house_names_every_floor_that_the_linter_keeps() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    picture = section("The house")
    for layer in layers:
        for room in layer.split("|"):
            assert room.strip() in picture


def test_the_links_and_pictures_of_the_readme_are_there_and_the_pictures_are_small() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", README)
    assert "demo_app/guide/index.md" in targets
    for target in targets:
        assert (ROOT / target.partition("#")[0]).is_file(), target
        if target.endswith(".png"):
            assert (ROOT / target).stat().st_size < 150_000


def test_every_command_that_the_readme_names_is_one() -> None:
    named = re.findall(r"`(stepup [a-z][^`]*)`", README)
    assert len(named) >= 8
    for command in named:
        words = [word for word in command.split()[1:] if word.islower() and not word.startswith("-")]
        with pytest.raises(SystemExit) as ended:
            main([*words, "--help"])
        assert ended.value.code == 0, command


def test_every_command_that_there_is_has_its_row_in_the_readme() -> None:
    named = {command.partition(" --")[0] for command in re.findall(r"`(stepup [a-z][^`]*)`", section("Operating it"))}
    commands = list(_commands(_parser(), "stepup"))
    assert len(commands) > 10
    for command in commands:
        assert any(f"{each} ".startswith(f"{command} ") for each in named), command


def _commands(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        yield name
    for action in inner:
        for word, further in action.choices.items():
            yield from _commands(further, f"{name} {word}")
