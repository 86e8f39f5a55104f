"""Evidence: the commands and settings of the page are there, and its formulas are those of the code."""

from __future__ import annotations

import inspect
import re
import shlex

import pytest

from stepup_middleware import StepUp
from stepup_middleware.cli import _parser
from stepup_middleware.core import chain, challenge, heads


@pytest.mark.block("keygen", "verify")
def test_the_commands_are_understood(blocks: dict[str, str]) -> None:
    for line in "".join(blocks.values()).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "stepup"
        assert _parser().parse_args(arguments).command


@pytest.mark.block("settings")
def test_the_settings_are_those_of_step_up(blocks: dict[str, str]) -> None:
    named = re.findall(r", (\w+)=", blocks["settings"])
    assert named == ["head_key", "on_head", "head_interval"]
    assert set(named) <= set(inspect.signature(StepUp).parameters)


@pytest.mark.block("formulas")
def test_the_formulas_use_the_words_of_the_code(blocks: dict[str, str]) -> None:
    code = "".join(inspect.getsource(module) for module in (chain, challenge, heads))
    words = re.findall(r'"(stepup-[\w-]+)"', blocks["formulas"])
    assert len(words) == 4
    for word in words:
        assert word in code
