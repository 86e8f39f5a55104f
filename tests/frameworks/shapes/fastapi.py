"""Classes in FastAPI: Starlette's, and instances that it calls with what it makes of a request."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI

from stepup_middleware.asgi import ASGIApp

from . import METHODS, Ran, Shape, Tag
from . import starlette as of_starlette


def app(endpoint: Any, **settings: Any) -> ASGIApp:
    made = FastAPI()
    made.add_api_route("/x", endpoint, methods=list(METHODS[:-1]), **settings)
    return made


def _routed(shape: Shape) -> Shape:
    """Return the shape with Starlette's routes in a FastAPI app."""

    def make(tag: Tag, ran: Ran) -> ASGIApp:
        made = FastAPI()
        made.router.routes += shape(tag, ran).routes  # type: ignore[attr-defined]
        return made

    return make


SHAPES: dict[str, Shape] = {name: _routed(shape) for name, shape in of_starlette.SHAPES.items()}


def kind_of(*bases: type[Any], **members: Any) -> Any:
    return type("Shaped", bases, {"__module__": __name__, **members})


def called(ran: Ran) -> Any:
    async def __call__(self: Any, q: str = "") -> str:
        ran()
        return "ran"

    return __call__


def _instance(tag: Tag, ran: Ran) -> ASGIApp:
    return app(tag(kind_of(__call__=called(ran)))())


def _sync_instance(tag: Tag, ran: Ran) -> ASGIApp:
    def call(self: Any, q: str = "") -> str:
        ran()
        return "ran"

    return app(tag(kind_of(__call__=call))())


def _dependency(tag: Tag, ran: Ran) -> ASGIApp:
    async def endpoint(word: str = Depends(tag(kind_of(__call__=called(ran)))())) -> str:
        ran()
        return word

    return app(endpoint)


def _derived(tag: Tag, ran: Ran) -> ASGIApp:
    return app(kind_of(tag(kind_of(__call__=called(lambda: None))), __call__=called(ran))())


def _bound(tag: Tag, ran: Ran) -> ASGIApp:
    return app(tag(kind_of(__call__=called(ran), other=called(ran)))().other)


SHAPES |= {
    "an instance with an async __call__()": _instance,
    "an instance with a sync __call__()": _sync_instance,
    "an instance that is a dependency": _dependency,
    "derived, an instance with __call__()": _derived,
    "a bound method of a tagged class, as an endpoint of FastAPI": _bound,
}
