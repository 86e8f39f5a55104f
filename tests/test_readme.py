"""What the README says is so: its commands, its example and its picture of the floors."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stepup_middleware.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1)


@pytest.mark.parametrize(("title", "program"), [("Try it", "stepup-demo"), ("Test it", "pytest")])
def test_each_command_section_holds_one_line_of_one_block(title: str, program: str) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", section(title), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    assert len(blocks[0].strip().splitlines()) == 1
    assert blocks[0].strip().endswith(program)


async def test_the_example_of_the_first_five_minutes_refuses_whoever_is_not_signed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.search(r"^```python\n(.*?)^```$", section("Five minutes in your own app"), re.MULTILINE | re.DOTALL)
    assert code
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code.group(1), names)  # noqa: S102 - it is what a reader would run
    async with names["stepup"]:
        transport = httpx2.ASGITransport(app=names["app"], client=("192.0.2.1", 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as http:
            answer = await http.post("/payroll/2026-06/transmit")
            asset = re.findall(r'(?:src|href)="([^"]+)"', names["stepup"].head)
            assets = [await http.get(url) for url in asset]
    assert (answer.status_code, answer.json()["code"]) == (401, "STEPUP_NOT_SIGNED_IN")
    assert [found.status_code for found in assets] == [200, 200, 200]


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
