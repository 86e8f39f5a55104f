"""Falcon, whose resources are classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepup_middleware.asgi import Scope
from stepup_middleware.patterns import of_expression

from .base import Below, FoundRoute, Framework, RequestLine, tag_of


class FalconFramework(Framework):
    """Falcon."""

    name = "falcon"
    app_class = "App"
    routes_by_whole_path = True
    quiet = ("falcon", "HTTPUnauthorized")
    empty_parameters = True
    keeps_error_handlers = "_error_handlers"

    def reached(self, request: Any, scope: Scope) -> RequestLine | None:
        if not hasattr(request, "uri_template"):
            return None
        return RequestLine(str(request.method), f"{request.root_path}{request.path}")

    def routes(self, app: Any, prefix: str, below: Below) -> Iterator[FoundRoute]:
        yield from _below(app._router._roots, prefix)
        for pattern, sink, _ in app._sinks:  # which take whatever begins so, as static routes do
            path = f"{prefix}{of_expression(pattern.pattern)}*"
            name = str(getattr(sink, "__qualname__", type(sink).__qualname__))
            yield FoundRoute(path=path, methods=("*",), name=name, tag=tag_of(sink), endpoint=sink)
        for static, *_ in app._static_routes:
            yield FoundRoute(f"{prefix}{static._prefix}*", ("*",), type(static).__name__, tag=None, endpoint=static)


def _below(nodes: Any, prefix: str) -> Iterator[FoundRoute]:
    for node in nodes:
        if node.uri_template:
            for method, responder in sorted(node.method_map.items()):
                if str(responder.__module__).startswith("falcon."):
                    continue  # its answers for methods that the resource does not have
                name = type(node.resource).__name__
                path = prefix + node.uri_template
                yield FoundRoute(path=path, methods=(method,), name=name, tag=tag_of(responder), endpoint=responder)
        yield from _below(node.children, prefix)


FRAMEWORK = FalconFramework()
