"""Classes of Starlette."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

from stepup_middleware.asgi import ASGIApp

from . import METHODS, Make, Ran, Shape, Tag, add_to, methods_of

SHAPES: dict[str, Shape] = {}


def app(endpoint: Any) -> ASGIApp:
    socket = isinstance(endpoint, type) and issubclass(endpoint, WebSocketEndpoint)
    return Starlette(routes=[WebSocketRoute("/x", endpoint) if socket else Route("/x", endpoint)])


def _shape(name: str, **settings: Any) -> Callable[[Make], Make]:
    return add_to(SHAPES, app, name, **settings)


def answers(ran: Ran) -> Any:
    def answer() -> PlainTextResponse:
        ran()
        return PlainTextResponse("ran")

    return answer


def kind_of(*bases: type[Any], **members: Any) -> Any:
    return type("Shaped", bases or (HTTPEndpoint,), {"__module__": __name__, **members})


def dispatch(ran: Ran) -> Any:
    async def dispatched(self: Any) -> None:
        ran()
        await PlainTextResponse("ran")(self.scope, self.receive, self.send)

    return dispatched


@_shape("async handlers")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(kind_of(**methods_of(answers(ran))))


@_shape("sync handlers")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(kind_of(**methods_of(answers(ran), sync=True)))


@_shape("an own dispatch()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(kind_of(dispatch=dispatch(ran)))


@_shape("an own __await__()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(kind_of(__await__=lambda self: dispatch(ran)(self).__await__()))


@_shape("an own __init__()")
def _(tag: Tag, ran: Ran) -> Any:
    def begin(self: Any, scope: Any, receive: Any, send: Any) -> None:
        ran()
        HTTPEndpoint.__init__(self, scope, receive, send)

    return tag(kind_of(__init__=begin, **methods_of(answers(ran))))


@_shape("an own __new__()")
def _(tag: Tag, ran: Ran) -> Any:
    def new(cls: Any, scope: Any, receive: Any, send: Any) -> Any:
        ran()
        return object.__new__(cls)

    return tag(kind_of(__new__=new, **methods_of(answers(ran))))


@_shape("an own method_not_allowed()")
def _(tag: Tag, ran: Ran) -> Any:
    async def refused(self: Any, request: Request) -> Any:
        return answers(ran)()

    return tag(kind_of(method_not_allowed=refused))


@_shape("derived, with handlers")
def _(tag: Tag, ran: Ran) -> Any:
    return kind_of(tag(kind_of()), **methods_of(answers(ran)))


@_shape("derived, with an own __await__()")
def _(tag: Tag, ran: Ran) -> Any:
    return kind_of(tag(kind_of()), __await__=lambda self: dispatch(ran)(self).__await__())


@_shape("derived, with an own __new__()")
def _(tag: Tag, ran: Ran) -> Any:
    def new(cls: Any, *args: Any) -> Any:
        ran()
        return super(derived, cls).__new__(cls)

    derived = kind_of(tag(kind_of()), __new__=new, **methods_of(answers(ran)))
    return derived


@_shape("derived, behind a mixin with dispatch()")
def _(tag: Tag, ran: Ran) -> Any:
    return kind_of(kind_of(object, dispatch=dispatch(ran)), tag(kind_of()))


@_shape("derived, behind a mixin with __new__() that keeps __init_subclass__ to itself")
def _(tag: Tag, ran: Ran) -> Any:
    def new(cls: Any, *args: Any) -> Any:
        ran()
        return object.__new__(cls)

    return kind_of(kind_of(object, __new__=new, __init_subclass__=classmethod(lambda cls: None)), tag(kind_of()))


@_shape("handlers that are added after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(kind_of())
    for name, way in methods_of(answers(ran)).items():
        setattr(kind, name, way)
    return kind


@_shape("a dispatch() that is set after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(kind_of())
    kind.dispatch = dispatch(ran)
    return kind


@_shape("an __await__() that is set after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(kind_of())
    kind.__await__ = lambda self: dispatch(ran)(self).__await__()
    return kind


@_shape("a __new__() that is set after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(kind_of(**methods_of(answers(ran))))
    kind.__new__ = staticmethod(lambda cls, *args: object.__new__(cls))
    return kind


@_shape("an ASGI app that is a class")
def _(tag: Tag, ran: Ran) -> Any:
    def begin(self: Any, scope: Any, receive: Any, send: Any) -> None:
        ran()
        self.scope, self.receive, self.send = scope, receive, send

    return tag(kind_of(object, __init__=begin, __await__=lambda self: dispatch(ran)(self).__await__()))


def call(ran: Ran) -> Any:
    async def called(self: Any, scope: Any, receive: Any, send: Any) -> None:
        ran()
        await PlainTextResponse("ran")(scope, receive, send)

    return called


@_shape("an instance that is an ASGI app")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(kind_of(object, __call__=call(ran)))()


@_shape("a __call__() that is set after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(kind_of(object, __call__=call(ran)))
    kind.__call__ = call(ran)
    return kind()


@_shape("a derived class with a __call__() around the inherited one")
def _(tag: Tag, ran: Ran) -> Any:
    async def outer(self: Any, scope: Any, receive: Any, send: Any) -> None:
        ran()
        await super(derived, self).__call__(scope, receive, send)

    derived = kind_of(tag(kind_of(object, __call__=call(ran))), __call__=outer)
    return derived()


@_shape("a bound method of a tagged class")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(kind_of(object, __call__=call(ran), other=methods_of(answers(ran))["get"]))().other


@_shape("a WebSocket's class")
def _(tag: Tag, ran: Ran) -> Any:
    async def connected(self: Any, websocket: Any) -> None:
        ran()

    return tag(kind_of(WebSocketEndpoint, on_connect=connected))


@_shape("a metaclass with __call__()")
def _(tag: Tag, ran: Ran) -> Any:
    def call(cls: Any, *args: Any) -> Any:
        ran()
        return type.__call__(cls, *args)

    meta = type("Meta", (type,), {"__call__": call})
    return tag(meta("Shaped", (HTTPEndpoint,), {"__module__": __name__, **methods_of(answers(ran))}))


def _mounted(tag: Tag, ran: Ran) -> ASGIApp:
    return Starlette(routes=[Mount("", app=cast(ASGIApp, tag(kind_of(dispatch=dispatch(ran)))))])


SHAPES["a class that is mounted"] = _mounted
assert set(METHODS) >= {"QUERY"}
