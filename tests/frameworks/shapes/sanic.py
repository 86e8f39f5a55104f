"""Classes of Sanic."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, cast

from sanic import Sanic
from sanic.response import text
from sanic.views import HTTPMethodView, stream

from stepup_middleware.asgi import ASGIApp

from . import METHODS, Make, Ran, Shape, Tag, add_to, methods_of

streaming: Any = stream  # untyped
SHAPES: dict[str, Shape] = {}
ROUTED = tuple(method for method in METHODS if method not in ("TRACE", "QUERY", "WEBSOCKET"))


def empty() -> Any:
    made: Sanic[Any, Any] = Sanic("app" + secrets.token_hex(4), configure_logging=False)
    made.config.TOUCHUP = False  # it rewrites the class itself, once a process
    made.config.MOTD = False
    return made


def app(handler: Any) -> ASGIApp:
    made = empty()
    made.add_route(handler, "/x", methods=ROUTED, name="x")
    return cast(ASGIApp, made)


def _shape(name: str, **settings: Any) -> Callable[[Make], Make]:
    return add_to(SHAPES, app, name, **settings)


def answers(ran: Ran) -> Any:
    def answer() -> Any:
        ran()
        return text("ran")

    return answer


def view(*bases: type[Any], **members: Any) -> Any:
    return type("Shaped", bases or (HTTPMethodView,), {"__module__": __name__, **members})


def handlers(ran: Ran, *, sync: bool = False) -> dict[str, Any]:
    return methods_of(answers(ran), sync=sync)


@_shape("async handlers")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(**handlers(ran))).as_view()


@_shape("sync handlers")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(**handlers(ran, sync=True))).as_view()


@_shape("an own dispatch_request()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(**handlers(ran) | {"dispatch_request": handlers(ran)["get"]})).as_view()


@_shape("an own __init__()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(__init__=lambda self: ran(), **handlers(ran))).as_view()


@_shape("an own as_view()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(as_view=classmethod(lambda cls: lambda request: answers(ran)()), **handlers(ran))).as_view()


@_shape("decorators")
def _(tag: Tag, ran: Ran) -> Any:
    def decorated(inner: Any) -> Any:
        def outer(*args: Any, **given: Any) -> Any:
            ran()
            return inner(*args, **given)

        return outer

    return tag(view(decorators=[decorated], **handlers(ran))).as_view()


@_shape("a stream")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(get=handlers(ran)["get"], post=streaming(handlers(ran)["post"]))).as_view()


@_shape("derived, with handlers")
def _(tag: Tag, ran: Ran) -> Any:
    return view(tag(view()), **handlers(ran)).as_view()


@_shape("derived, with an own dispatch_request()")
def _(tag: Tag, ran: Ran) -> Any:
    return view(tag(view(**handlers(ran))), dispatch_request=handlers(ran)["get"]).as_view()


@_shape("derived, behind a mixin with as_view() that keeps __init_subclass__ to itself")
def _(tag: Tag, ran: Ran) -> Any:
    def as_view(cls: Any) -> Any:
        def inner(request: Any) -> Any:
            return answers(ran)()

        inner.view_class = cls  # type: ignore[attr-defined]
        return inner

    mixin = view(object, as_view=classmethod(as_view), __init_subclass__=classmethod(lambda cls: None))
    return view(mixin, tag(view(**handlers(ran)))).as_view()


@_shape("handlers that are added after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(view())
    for name, way in handlers(ran).items():
        setattr(kind, name, way)
    return kind.as_view()


@_shape("as_view() called before the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = view(**handlers(ran))
    made = kind.as_view()
    tag(kind)
    return made


@_shape("as_view() called before the tag, with an own __init__()")
def _(tag: Tag, ran: Ran) -> Any:
    kind = view(__init__=lambda self: ran(), **handlers(ran))
    made = kind.as_view()
    tag(kind)
    return made


@_shape("an instance with __call__()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(object, __call__=handlers(ran)["get"]))()


@_shape("a bound method of a tagged class")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(**handlers(ran), other=handlers(ran)["get"]))().other


def _attached(tag: Tag, ran: Ran) -> ASGIApp:
    made = empty()

    class Attached(HTTPMethodView, attach=made, uri="/x", methods=ROUTED):
        """Is registered before the tag is there."""

        async def get(self, request: Any) -> Any:
            return answers(ran)()

        post = get

    tag(Attached)
    return cast(ASGIApp, made)


def _attached_with_init(tag: Tag, ran: Ran) -> ASGIApp:
    made = empty()

    class Attached(HTTPMethodView, attach=made, uri="/x"):
        """Is registered before the tag is there, and runs something before its handler."""

        def __init__(self) -> None:
            ran()

        async def get(self, request: Any) -> Any:
            return answers(ran)()

    tag(Attached)
    return cast(ASGIApp, made)


def _attached_later(tag: Tag, ran: Ran) -> ASGIApp:
    made = empty()
    tag(view(__init__=lambda self: ran(), **handlers(ran))).attach(made, "/x", methods=ROUTED)
    return cast(ASGIApp, made)


SHAPES |= {
    "attached as it is written": _attached,
    "attached as it is written, with an own __init__()": _attached_with_init,
    "attached later": _attached_later,
}
