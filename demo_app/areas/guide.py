"""The route-tagging guide: Markdown files, shown as pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo_app.axis import current
from demo_app.pages import page

_FOLDER = Path(__file__).parent.parent / "guide"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidePage:
    """A page of the guide: its first heading and its HTML."""

    title: str
    body: Markup


@cache
def guide_pages() -> Mapping[str, GuidePage]:
    """Read every page of the guide, by name; ``index`` comes first, the others in order of their names.

    HTML in the Markdown is shown as text, not interpreted.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    pages = {}
    for path in sorted(_FOLDER.glob("*.md"), key=lambda path: (path.stem != "index", path.stem)):
        text = path.read_text(encoding="utf-8")
        title = next((line[2:].strip() for line in text.splitlines() if line.startswith("# ")), path.stem)
        html = markdown.render(text).replace("<pre>", '<pre tabindex="0">')
        pages[path.stem] = GuidePage(title=title, body=Markup(html))  # noqa: S704 - html is off
    return pages


async def show(request: Request) -> Response:
    """Show a page of the guide."""
    await current(request)
    name = request.path_params.get("name", "index")
    pages = guide_pages()
    if name not in pages and name != "index":
        raise HTTPException(404, "The guide has no such page.")
    return await page(request, "guide.html", pages=pages, name=name, shown=pages.get(name))


routes = [Route("/guide", show), Route("/guide/{name}", show)]
