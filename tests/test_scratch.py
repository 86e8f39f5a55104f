"""Tests write to memory where it is large enough, and elsewhere where a person says so."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from . import scratch


@pytest.fixture(autouse=True)
def undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    monkeypatch.setenv("TMPDIR", "")
    monkeypatch.delenv("TMPDIR")


def test_memory_is_taken_where_it_is_large_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "MEMORY", tmp_path)
    monkeypatch.setattr(scratch, "ENOUGH", 1)
    scratch.write_to_memory()
    assert (os.environ["TMPDIR"], tempfile.gettempdir()) == (str(tmp_path), str(tmp_path))


@pytest.mark.parametrize(("enough", "there"), [(1 << 80, True), (1, False)])
def test_what_is_too_small_or_not_there_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enough: int, there: bool
) -> None:
    monkeypatch.setattr(scratch, "MEMORY", tmp_path if there else tmp_path / "none")
    monkeypatch.setattr(scratch, "ENOUGH", enough)
    scratch.write_to_memory()
    assert "TMPDIR" not in os.environ


def test_a_place_that_was_named_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "MEMORY", tmp_path)
    monkeypatch.setenv("TMPDIR", "/named")
    scratch.write_to_memory()
    assert os.environ["TMPDIR"] == "/named"
