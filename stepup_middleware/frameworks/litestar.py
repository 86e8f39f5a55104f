"""Litestar."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

from stepup_middleware.asgi import Scope
from stepup_middleware.errors import ConfigurationError

from .base import NO_TAG_INSIDE, Below, FoundRoute, Framework, behind, names_a_tag, tag_of
from .entries import TAG_ATTRIBUTE, Entry, Guard, generic_entries

KEPT = "its handler has cache=, which would hand an authorized answer to anybody: take cache= away"


class LitestarFramework(Framework):
    """Litestar, whose controllers have guards that are asked before the body is read."""

    name = "litestar"
    app_class = "Litestar"
    mounts_are_text = True
    quiet = ("litestar.exceptions", "NotAuthorizedException")
    keeps_path_parameters = True
    keeps_error_handlers = "exception_handlers"

    def in_hand(self, scope: Scope) -> bool:
        return "litestar_app" in scope

    def is_reached_in(self, scope: Scope) -> bool:
        """Whether the handler that was found is none of a mount."""
        handler = scope.get("route_handler")
        return handler is not None and not getattr(handler, "is_mount", False)

    def keep_nothing(self, request: Any, scope: Scope) -> None:
        handler = scope.get("route_handler")
        if getattr(handler, "cache", False):
            raise ConfigurationError(f"{handler} asks with require_step_up and {KEPT}. It does not run")

    def entries(self, kind: type[Any]) -> dict[str, Entry]:
        """``as_router`` of a controller and ``to_handler`` of a listener make what the app registers."""
        found = generic_entries(kind)
        return found | {name: _guarding for name in ("as_router", "to_handler") if hasattr(kind, name)}

    def routes(self, app: Any, prefix: str, below: Below) -> Iterator[FoundRoute]:
        for each in app.routes:
            for handler in getattr(each, "route_handlers", None) or [each.route_handler]:
                methods = tuple(sorted(getattr(handler, "http_methods", ("WEBSOCKET",))))
                if methods == ("OPTIONS",):
                    continue  # Litestar's own
                places = [
                    getattr(handler, "fn", None),
                    *handler.resolve_guards(),
                    *(getattr(handler, "middleware", None) or ()),
                ]
                tag = next((found for found in map(tag_of, places) if found is not None), None)
                path = prefix + each.path
                if getattr(handler, "is_mount", False):
                    for found in below(handler.fn, path):
                        yield found._replace(tag=found.tag or tag)
                    continue
                kept = KEPT if getattr(handler, "cache", False) else ""
                fault = f"is tagged and {kept}" if kept and tag is not None else ""
                asked = [*handler.resolve_guards(), *handler.resolve_dependencies().values()]
                if any(names_a_tag(getattr(one, "dependency", one)) for one in asked):
                    fault = fault or NO_TAG_INSIDE
                route = FoundRoute(path, methods, str(handler), tag, endpoint=places[0], fault=fault, kept=kept)
                for other in filter(None, map(tag_of, places)):
                    route = behind(route, other)
                yield route


def _guarding(kind: type[Any], name: str, present: Any, guard: Guard) -> Any:
    """Put a guard of Litestar, which is asked before anything else of a handler, on every handler that is made."""
    if not inspect.isfunction(present):
        raise ConfigurationError(f"{kind.__qualname__}.{name} is no plain method, which alone can be guarded")

    async def asked(connection: Any, handler: Any) -> None:
        await guard.admit(connection)

    setattr(asked, TAG_ATTRIBUTE, guard.tag)

    @functools.wraps(present)
    def making(self: Any) -> Any:
        made = present(self)
        for handler in _handlers(made):
            if asked not in (handler.guards or ()):
                handler.guards = [asked, *(handler.guards or ())]
        return made

    return making


def _handlers(made: Any) -> Iterator[Any]:
    """Yield the handlers of a router, or a handler itself."""
    for route in getattr(made, "routes", ()):
        yield from getattr(route, "route_handlers", None) or [route.route_handler]
    if not hasattr(made, "routes"):
        yield made


FRAMEWORK = LitestarFramework()
