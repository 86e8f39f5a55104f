"""A misspelt name or keyword at a call of a ceremony, a verb or a service fails mypy."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from inspect import signature
from pathlib import Path

import pytest

from stepup_middleware.core.events import AuditEvent, EventFields, event_by
from stepup_middleware.core.grants import TokenGrant
from stepup_middleware.service.ceremony_parts import CeremonyParts, Collaborators
from stepup_middleware.service.grants import Counters, token_grant
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


def test_the_keywords_that_are_handed_on_are_those_of_what_is_made() -> None:
    named = EventFields.__annotations__.keys() | signature(event_by).parameters.keys() - {"who", "fields"}
    assert named == {field.name for field in fields(AuditEvent)}
    assert Counters.__annotations__.keys() < {field.name for field in fields(TokenGrant)}
    assert not Counters.__annotations__.keys() & signature(token_grant).parameters.keys()
    assert list(Collaborators.__annotations__) == list(signature(CeremonyParts).parameters)


@pytest.mark.slow
def test_a_word_that_mypy_cannot_judge_is_reported(folder: Path) -> None:
    lines = Path("stepup_middleware/errors.py").read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.startswith('"""'))
    in_a_docstring = Site("stepup_middleware/errors.py", "", "verb", "Every", (line, 8), range(line, line + 1))
    assert unnoticed([in_a_docstring], folder) == [in_a_docstring]
