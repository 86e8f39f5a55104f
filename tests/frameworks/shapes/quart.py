"""Classes of Quart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from quart import Quart
from quart.views import MethodView, View

from stepup_middleware.asgi import ASGIApp

from . import METHODS, Make, Ran, Shape, Tag, add_to, methods_of

SHAPES: dict[str, Shape] = {}


def app(view: Any) -> ASGIApp:
    made = Quart("shaped")
    made.add_url_rule("/x", "x", view_func=view, methods=list(METHODS[:-1]), provide_automatic_options=False)
    return cast(ASGIApp, made)


def _shape(name: str, **settings: Any) -> Callable[[Make], Make]:
    return add_to(SHAPES, app, name, **settings)


def answers(ran: Ran) -> Any:
    def answer() -> str:
        ran()
        return "ran"

    return answer


def view(*bases: type[Any], **members: Any) -> Any:
    return type("Shaped", bases or (View,), {"__module__": __name__, **members})


def way(ran: Ran, *, sync: bool = False) -> Any:
    return methods_of(answers(ran), sync=sync)["get"]


@_shape("dispatch_request()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(dispatch_request=way(ran))).as_view("x")


@_shape("a sync dispatch_request()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(dispatch_request=way(ran, sync=True))).as_view("x")


@_shape("async handlers")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(MethodView, **methods_of(answers(ran)))).as_view("x")


@_shape("sync handlers")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(MethodView, **methods_of(answers(ran), sync=True))).as_view("x")


@_shape("an own __init__()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(__init__=lambda self: ran(), dispatch_request=way(ran))).as_view("x")


@_shape("one instance for all requests")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(init_every_request=False, dispatch_request=way(ran))).as_view("x")


@_shape("an own as_view()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(as_view=classmethod(lambda cls, name: answers(ran)), dispatch_request=way(ran))).as_view("x")


@_shape("an own as_view() around the inherited one")
def _(tag: Tag, ran: Ran) -> Any:
    def as_view(cls: Any, name: str) -> Any:
        inner = super(kind, cls).as_view(name)

        async def outer(**given: Any) -> Any:
            ran()
            return await inner(**given)

        return outer

    kind = tag(view(as_view=classmethod(as_view), dispatch_request=way(ran)))
    return kind.as_view("x")


@_shape("decorators")
def _(tag: Tag, ran: Ran) -> Any:
    def decorated(inner: Any) -> Any:
        async def outer(**given: Any) -> Any:
            ran()
            return await inner(**given)

        return outer

    return tag(view(decorators=[decorated], dispatch_request=way(ran))).as_view("x")


@_shape("derived, with dispatch_request()")
def _(tag: Tag, ran: Ran) -> Any:
    return view(tag(view()), dispatch_request=way(ran)).as_view("x")


@_shape("derived, with an own as_view()")
def _(tag: Tag, ran: Ran) -> Any:
    return view(tag(view()), as_view=classmethod(lambda cls, name: answers(ran))).as_view("x")


@_shape("derived, behind a mixin with dispatch_request()")
def _(tag: Tag, ran: Ran) -> Any:
    return view(view(object, dispatch_request=way(ran)), tag(view())).as_view("x")


@_shape("derived, behind a mixin that keeps __init_subclass__ to itself")
def _(tag: Tag, ran: Ran) -> Any:
    mixin = view(object, dispatch_request=way(ran), __init_subclass__=classmethod(lambda cls: None))
    return view(mixin, tag(view())).as_view("x")


@_shape("as_view() called before the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = view(dispatch_request=way(ran))
    made = kind.as_view("x")
    tag(kind)
    return made


@_shape("as_view() called before the tag, with an own __init__()")
def _(tag: Tag, ran: Ran) -> Any:
    kind = view(__init__=lambda self: ran(), dispatch_request=way(ran))
    made = kind.as_view("x")
    tag(kind)
    return made


@_shape("dispatch_request() that is set after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(view())
    kind.dispatch_request = way(ran)
    return kind.as_view("x")


@_shape("dispatch_request() that is set after the tag and after as_view()")
def _(tag: Tag, ran: Ran) -> Any:
    kind = view(dispatch_request=way(ran))
    made = kind.as_view("x")
    tag(kind)
    kind.dispatch_request = way(ran)
    return made


@_shape("a bound method of a tagged class")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(dispatch_request=way(ran), other=way(ran)))().other


def _socket(tag: Tag, ran: Ran) -> ASGIApp:
    made = Quart("shaped")
    made.add_websocket("/x", "x", view_func=tag(view(dispatch_request=way(ran))).as_view("x"))
    return cast(ASGIApp, made)


SHAPES["a WebSocket's class"] = _socket
