"""The guide's pages: Markdown files, in the order in which ``index.md`` links to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from .reference import expanded

FOLDER = Path(__file__).parent / "guide"
INDEX = "index"
REFERENCE = "reference"  # a list of names; what is shown of each is read from the sources
_LINK = re.compile(r"(?:([a-z_-]+)\.md)?(#[\w-]+)?")
_LANGUAGES = {
    "html": "HTML",
    "http": "HTTP",
    "js": "JavaScript",
    "json": "JSON",
    "python": "Python",
    "sh": "Shell",
    "text": "Text",
}
_ROLES = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "th": "columnheader", "td": "cell"}
_FORMATTER = HtmlFormatter(nowrap=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidePage:
    """A page: the name of its file, its title, its sections (anchor and title of each) and its HTML."""

    name: str
    title: str
    sections: tuple[tuple[str, str], ...]
    body: Markup

    @property
    def url(self) -> str:
        return url_of(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """All pages in order, and the same by the groups of the index: a heading and its pages."""

    index: GuidePage
    groups: tuple[tuple[str, tuple[GuidePage, ...]], ...]

    @property
    def pages(self) -> tuple[GuidePage, ...]:
        return (self.index, *(page for _, pages in self.groups for page in pages))

    def around(self, name: str) -> tuple[GuidePage | None, GuidePage, GuidePage | None] | None:
        """Return a page with the ones before and after it; None when there is no such page."""
        pages = self.pages
        for place, page in enumerate(pages):
            if page.name == name:
                before = pages[place - 1] if place else None
                return before, page, pages[place + 1] if place + 1 < len(pages) else None
        return None


def url_of(name: str) -> str:
    """Return where a page is shown."""
    return "/guide" if name == INDEX else f"/guide/{name}"


@cache
def guide() -> Guide:
    """Read the guide. HTML in the Markdown is shown as text, not interpreted."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("fence", _fence)
    groups: list[tuple[str, list[GuidePage]]] = []
    for tag, inline in _headings_and_links(markdown.parse(_text(INDEX))):
        if tag == "h2":
            groups.append((inline.content, []))
        elif tag == "a":
            groups[-1][1].append(_page(markdown, str(inline.attrs["href"]).removesuffix(".md")))
    return Guide(index=_page(markdown, INDEX), groups=tuple((heading, tuple(pages)) for heading, pages in groups))


def _text(name: str) -> str:
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    return expanded(text) if name == REFERENCE else text


def _headings_and_links(tokens: Sequence[Token]) -> list[tuple[str, Token]]:
    found = []
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            found.append((before.tag, token))
        else:
            found += [("a", child) for child in token.children or () if child.type == "link_open"]
    return found


def _page(markdown: MarkdownIt, name: str) -> GuidePage:
    tokens = markdown.parse(_text(name))
    title, sections = name, []
    for opening, inline, closing in zip(tokens, tokens[1:], tokens[2:], strict=False):
        for child in inline.children or ():
            if child.type == "link_open":
                child.attrs["href"] = _shown_at(str(child.attrs["href"]))
        if opening.type != "heading_open" or closing.type != "heading_close":
            continue
        text = "".join(child.content for child in inline.children or ())
        if opening.tag == "h1":
            title = text  # the template draws it
            opening.hidden = closing.hidden = True
            inline.children = []
            continue
        anchor = slug(text)
        opening.attrs["id"] = anchor
        if opening.tag == "h2":
            sections.append((anchor, text))
        link = Token("link_open", "a", 1, attrs={"href": f"#{anchor}"})
        inline.children = [link, *(inline.children or ()), Token("link_close", "a", -1)]
    _label_cells(tokens)
    html = markdown.renderer.render(tokens, markdown.options, {})
    html = html.replace("<pre><code>", '<pre tabindex="0"><code>')  # of a docstring: it may scroll
    html = html.replace("<table", '<div class="scroll" tabindex="0"><table').replace("</table>", "</table></div>")
    body = Markup(html)  # noqa: S704 - html is off
    return GuidePage(name=name, title=title, sections=tuple(sections), body=body)


def _label_cells(tokens: Sequence[Token]) -> None:
    """Write the column's heading into each cell: on a phone a row is drawn as a block, and still read as a row."""
    headings: list[str] = []
    column = 0
    for token, inside in pairwise(tokens):
        if token.nesting != 1 or token.tag not in _ROLES:
            continue
        token.attrs["role"] = _ROLES[token.tag]
        if token.tag == "thead":
            headings = []
        elif token.tag == "tr":
            column = 0
        elif token.tag == "th":
            headings.append("".join(child.content for child in inside.children or ()))
        elif token.tag == "td":
            token.attrs["data-label"] = headings[column]
            inside.children = [Token("span_open", "span", 1), *(inside.children or ()), Token("span_close", "span", -1)]
            column += 1


def slug(heading: str) -> str:
    """Return the anchor of a heading, as code hosts make it: small letters, digits and hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def _shown_at(target: str) -> str:
    """Return where a link leads when the page is shown: ``tagging.md#details`` is ``/guide/tagging#details``."""
    found = _LINK.fullmatch(target)
    if found is None or found.group(1) is None:
        return target
    return url_of(found.group(1)) + (found.group(2) or "")


def _fence(_: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    """Draw a block of code below the name of its file, or of its language."""
    words = tokens[at].info.split()
    language = words[0] if words else "text"
    caption = words[1] if len(words) > 1 and "." in words[1] else _LANGUAGES.get(language, language)
    lexer = get_lexer_by_name({"sh": "bash", "http": "text"}.get(language, language))
    code = highlight(tokens[at].content, lexer, _FORMATTER)
    return f'<div class="code"><p>{escape(caption)}</p><pre tabindex="0"><code>{code}</code></pre></div>\n'
