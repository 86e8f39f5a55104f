"""A misspelt name or keyword at a call of a ceremony, a verb or a service fails mypy."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.misspelt import Site, batches, sample, sites, unnoticed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the copy that mypy reads: what it has learnt of the library serves both tests."""
    return tmp_path_factory.mktemp("misspelt")


@pytest.mark.slow
def test_a_misspelt_name_or_keyword_fails_mypy_at_every_call_that_is_tried(folder: Path) -> None:
    tried = sample(list(sites()))
    kinds = Counter(site.kind for site in tried)
    assert min(kinds[kind] for kind in ("ceremony", "verb", "service")) >= 5
    assert sum(kinds.values()) >= 80
    assert [str(site) for site in unnoticed(tried, folder)] == []


def test_every_word_is_in_one_batch_and_no_function_twice_in_any() -> None:
    found = list(sites())
    groups = batches(found)
    assert sorted(map(str, found)) == sorted(str(site) for batch in groups for site in batch)
    for batch in groups:
        assert len({(site.file, site.function) for site in batch}) == len(batch)


@pytest.mark.slow
def test_a_word_that_mypy_cannot_judge_is_reported(folder: Path) -> None:
    lines = Path("stepup_middleware/errors.py").read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.startswith('"""'))
    in_a_docstring = Site("stepup_middleware/errors.py", "", "verb", "Every", (line, 8), range(line, line + 1))
    assert unnoticed([in_a_docstring], folder) == [in_a_docstring]
