"""What the README says is so: its commands, its example and its picture of the floors."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import httpx2
import pytest

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
