"""Every page of the guide: its blocks run or are claimed, its links lead somewhere, the index has it."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from html import unescape
from pathlib import Path

import pytest

from demo_app.guide_pages import FOLDER, guide, slug

from .harness import PAGES, blocks_of, running


@pytest.mark.sweep(one_in=8)
@pytest.mark.parametrize("page", PAGES)
async def test_a_page_runs_from_top_to_bottom(page: str, tmp_path: Path) -> None:
    async with running(page, tmp_path):
        pass


def claims(page: str) -> list[str]:
    """Return the named blocks that the page's tests take."""
    if not (Path(__file__).parent / f"test_{page}.py").exists():
        return []
    found = []
    for value in vars(importlib.import_module(f"tests.guide.test_{page}")).values():
        marks = [mark for mark in getattr(value, "pytestmark", []) if mark.name == "block"]
        if marks:
            assert "blocks" in inspect.signature(value).parameters, f"{value.__name__} claims a block and takes none"
        found += [name for mark in marks for name in mark.args]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_no_block_of_a_page_goes_unchecked(page: str) -> None:
    named = [block.name for block in blocks_of(page) if not block.runs]
    for block in blocks_of(page):
        assert block.language, f"{page}.md, line {block.line}: a block names its language"
        assert block.runs or block.name, f"{page}.md, line {block.line}: name the block and claim it by a test"
    assert [name for name, times in Counter(named).items() if times > 1] == []
    claimed = claims(page)
    assert [name for name in named if name not in claimed] == [], f"claim them in tests/guide/test_{page}.py"
    names = [block.name for block in blocks_of(page)]
    assert [name for name in claimed if name not in names] == []


def test_the_index_links_to_every_page_once() -> None:
    assert sorted(page.name for page in guide().pages) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_a_page_lead_somewhere_and_its_anchors_are_its_own(page: str) -> None:
    shown = next(each for each in guide().pages if each.name == page)
    anchors = re.findall(r'<h[23] id="([^"]*)"', shown.body)
    assert len(set(anchors)) == len(anchors)
    assert "" not in anchors
    ids = {each.url: set(re.findall(r'\sid="([^"]+)"', each.body)) for each in guide().pages}
    for target in re.findall(r'<a href="([^"]+)"', shown.body):
        url, _, anchor = unescape(target).partition("#")
        if url.startswith("https://"):
            continue
        assert (url or shown.url) in ids, target
        assert not anchor or anchor in ids[url or shown.url], target


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_one_title_and_no_link_in_a_heading(page: str) -> None:
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert text.startswith("# ")
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1
    assert not re.search(r"^#+ .*\]\(", prose, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_the_rows_of_a_table_have_as_many_cells_as_its_head(page: str) -> None:
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n?)+", prose, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, table


def test_an_anchor_is_made_as_code_hosts_make_it() -> None:
    assert slug("What it does `not` prove: 2 things") == "what-it-does-not-prove-2-things"
