"""A page that was run, and the blocks that a test claims."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .harness import Ran, blocks_of, running


def page_of(module: str) -> str:
    """Return the page whose tests are in a module: ``policy`` for ``tests.guide.test_policy``."""
    return module.rpartition(".")[2].removeprefix("test_")


@pytest.fixture
async def ran(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ran]:
    """The page of this module after its run."""
    async with running(page_of(request.module.__name__), tmp_path) as page:
        yield page


@pytest.fixture
def blocks(request: pytest.FixtureRequest) -> dict[str, str]:
    """The text of each named block of this module's page that the test claims."""
    claimed = [name for mark in request.node.iter_markers("block") for name in mark.args]
    found = {block.name: block.text for block in blocks_of(page_of(request.module.__name__)) if block.name}
    return {name: found[name] for name in claimed}
