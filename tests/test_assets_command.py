"""``stepup assets``: the tags it prints load what it says, and nothing that was changed."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha384
from pathlib import Path

import pytest

from stepup_middleware import assets
from stepup_middleware.cli import main


def test_the_tags_have_the_integrity_of_the_files_that_it_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["assets", "--base", "https://cdn.example/pay/stepup/", "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    tags = re.findall(r'(?:src|href)="https://cdn\.example/pay/stepup/static/([^"]+)" integrity="([^"]+)"', printed)
    assert [name.partition(".")[0] for name, _ in tags] == ["stepup", "htmx", "stepup"]
    for name, integrity in tags:
        content = (tmp_path / "out" / name).read_bytes()
        assert integrity == "sha384-" + b64encode(sha384(content).digest()).decode()
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(assets.by_hashed_name())
