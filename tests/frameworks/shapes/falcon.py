"""Classes of Falcon."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import falcon.asgi

from stepup_middleware.asgi import ASGIApp

from . import METHODS, Make, Ran, Shape, Tag, add_to

SHAPES: dict[str, Shape] = {}
NAMES = tuple(f"on_{method.lower()}" for method in METHODS if method != "QUERY")


def app(resource: Any, **settings: Any) -> ASGIApp:
    made = falcon.asgi.App()
    made.add_route("/x", resource, **settings)
    return cast(ASGIApp, made)


def _shape(name: str, **settings: Any) -> Callable[[Make], Make]:
    return add_to(SHAPES, app, name, **settings)


def kind_of(*bases: type[Any], **members: Any) -> Any:
    return type("Shaped", bases, {"__module__": __name__, **members})


def way(ran: Ran) -> Any:
    async def responded(self: Any, req: Any, resp: Any, **given: Any) -> None:
        ran()
        if not isinstance(resp, falcon.asgi.WebSocket):
            resp.text = "ran"

    return responded


def ways(ran: Ran, suffix: str = "") -> dict[str, Any]:
    return {name + suffix: way(ran) for name in NAMES}


@_shape("responders")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(kind_of(**ways(ran)))()


@_shape("responders with a suffix", suffix="all")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(kind_of(**ways(ran, "_all")))()


@_shape("derived, with responders")
def _(tag: Tag, ran: Ran) -> Any:
    return kind_of(tag(kind_of(on_get=way(ran))), **ways(ran))()


@_shape("derived, with responders of a mixin")
def _(tag: Tag, ran: Ran) -> Any:
    return kind_of(kind_of(**ways(ran)), tag(kind_of(on_get=way(ran))))()


@_shape("derived from a class that is only called, with responders")
def _(tag: Tag, ran: Ran) -> Any:
    return kind_of(tag(kind_of(__call__=way(ran))), **ways(ran))()


@_shape("responders that are added after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(kind_of(on_get=way(ran)))
    for name, responder in ways(ran).items():
        setattr(kind, name, responder)
    return kind()


@_shape("responders of the instance")
def _(tag: Tag, ran: Ran) -> Any:
    made = tag(kind_of(on_get=way(ran)))()
    for name, responder in ways(ran).items():
        setattr(made, name, functools.partial(responder, made))
    return made


@_shape("responders that __getattr__() finds")
def _(tag: Tag, ran: Ran) -> Any:
    def found(self: Any, name: str) -> Any:
        if name not in NAMES:
            raise AttributeError(name)
        return functools.partial(way(ran), self)

    return tag(kind_of(on_get=way(ran), __getattr__=found))()


@_shape("responders that __getattribute__() finds")
def _(tag: Tag, ran: Ran) -> Any:
    def found(self: Any, name: str) -> Any:
        return functools.partial(way(ran), self) if name in NAMES else object.__getattribute__(self, name)

    return tag(kind_of(on_get=way(ran), __getattribute__=found))()


@_shape("a __getattribute__() that is set after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(kind_of(**ways(ran)))
    kind.__getattribute__ = object.__getattribute__
    return kind()


@_shape("a derived class with a __getattribute__() of its own")
def _(tag: Tag, ran: Ran) -> Any:
    return kind_of(tag(kind_of(on_get=way(ran))), **ways(ran), __getattribute__=object.__getattribute__)()


@_shape("static and class methods, partial methods and properties")
def _(tag: Tag, ran: Ran) -> Any:
    responder = functools.partial(way(ran), None)

    async def of_class(cls: Any, req: Any, resp: Any) -> None:
        await way(ran)(cls, req, resp)

    async def static(req: Any, resp: Any) -> None:
        await way(ran)(None, req, resp)

    kinds = {
        "on_get": staticmethod(static),
        "on_post": classmethod(of_class),
        "on_put": functools.partialmethod(way(ran)),
        "on_delete": property(lambda self: responder),
    }
    return tag(kind_of(**kinds))()


@_shape("an instance that was made before the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = kind_of(**ways(ran))
    made = kind()
    tag(kind)
    return made


def _routed_before(tag: Tag, ran: Ran) -> ASGIApp:
    kind = kind_of(**ways(ran))
    made = app(kind())
    tag(kind)
    return made


def _sink(tag: Tag, ran: Ran) -> ASGIApp:
    made = falcon.asgi.App()
    made.add_sink(tag(kind_of(__call__=way(ran)))(), "/x")
    return cast(ASGIApp, made)


def _bound_sink(tag: Tag, ran: Ran) -> ASGIApp:
    made = falcon.asgi.App()
    made.add_sink(tag(kind_of(on_get=way(ran), drain=way(ran)))().drain, "/x")
    return cast(ASGIApp, made)


def _responder_sink(tag: Tag, ran: Ran) -> ASGIApp:
    made = falcon.asgi.App()
    made.add_sink(tag(kind_of(on_get=way(ran)))().on_get, "/x")
    return cast(ASGIApp, made)


SHAPES |= {
    "an instance that was routed before the tag": _routed_before,
    "an instance that is a sink": _sink,
    "a bound method that is a sink": _bound_sink,
    "a responder that is a sink": _responder_sink,
}
