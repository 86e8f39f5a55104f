"""Classes of every shape that the frameworks take for endpoints, each in an app of its own at ``/x``.

Each module has ``SHAPES``: by a sentence, a function that is handed ``tag`` (``requires_step_up(...)``, or what tags
nothing) and ``ran`` (called wherever something of the class runs for a request), and returns the app.
"""

from __future__ import annotations

from collections.abc import Callable
from pkgutil import iter_modules
from typing import Any

from stepup_middleware.asgi import ASGIApp

FRAMEWORKS = tuple(sorted(module.name for module in iter_modules(__path__)))
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "WEBSOCKET")
VERBS = tuple(method.lower() for method in METHODS[:-1])

Tag = Callable[[Any], Any]
Ran = Callable[[], None]
Shape = Callable[[Tag, Ran], ASGIApp]
Make = Callable[[Tag, Ran], Any]


def methods_of(answer: Callable[[], Any], *, sync: bool = False) -> dict[str, Any]:
    """Return a namespace with a handler for every method."""

    def handler(self: Any, *args: Any, **kwargs: Any) -> Any:
        return answer()

    async def awaited(self: Any, *args: Any, **kwargs: Any) -> Any:
        return answer()

    return dict.fromkeys(VERBS, handler if sync else awaited)


def add_to(shapes: dict[str, Shape], app: Callable[..., ASGIApp], name: str, **settings: Any) -> Callable[[Make], Make]:
    """Return a decorator that adds a shape by its sentence: what it returns is what ``app`` routes ``/x`` to."""

    def named(make: Make) -> Make:
        shapes[name] = lambda tag, ran: app(make(tag, ran), **settings)
        return make

    return named
