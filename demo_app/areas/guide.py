"""The route-tagging guide."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo_app.axis import current
from demo_app.guide_pages import INDEX, guide
from demo_app.languages import marked
from demo_app.pages import page


async def show(request: Request) -> Response:
    """Show a page of the guide."""
    await current(request)
    found = guide().around(request.path_params.get("name", INDEX))
    if found is None:
        raise HTTPException(404, marked("The guide has no such page."))
    before, shown, after = found
    return await page(request, "guide.html", guide=guide(), before=before, shown=shown, after=after)


routes = [Route("/guide", show), Route("/guide/{name}", show)]
