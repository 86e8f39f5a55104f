"""Programs that ask: the page's code runs against an app, and its tables have what is raised and returned."""

from __future__ import annotations

import re
import shlex

import pytest

import stepup_middleware.client as client
from demo_app.guide_pages import FOLDER
from stepup_middleware.cli import _parser
from stepup_middleware.client.auth import MOST_READ

TEXT = (FOLDER / "programs.md").read_text(encoding="utf-8")


@pytest.mark.block("auth")
def test_the_function_of_the_page_is_one_that_can_be_called(blocks: dict[str, str]) -> None:
    names: dict[str, object] = {}
    exec(compile(blocks["auth"], "programs.md", "exec"), names)  # noqa: S102 - the page's own code
    assert callable(names["rotate"])


def test_the_table_has_every_error() -> None:
    raised = {name for name in client.__all__ if getattr(client, name).__base__ is client.StepUpNotProved}
    assert set(re.findall(r"^\| `(\w+)`", TEXT, re.MULTILINE)) == raised
    assert MOST_READ == 32 << 20


@pytest.mark.block("call", "install")
def test_the_command_of_the_page_is_understood(blocks: dict[str, str]) -> None:
    words = shlex.split(blocks["call"].replace("\\\n", "").split("|")[0])
    options = _parser().parse_args(words[1:])
    assert (options.method, options.url, len(options.header)) == (
        "POST",
        "https://api.example.com/webhooks/7/rotate",
        2,
    )
    assert "'stepup-middleware[client]'" in blocks["install"]
