"""What a framework reads of a form, the condition of a rule has seen: nobody is let by with `action=delete`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .fields.readers import READERS

COUNT = 1200


# J07
@pytest.mark.sweep(one_in=4)
@pytest.mark.parametrize("framework", READERS)
def test_no_field_reaches_an_app_that_the_condition_of_a_rule_has_not_seen(framework: str) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.differential.fields", framework, "--count", str(COUNT)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
