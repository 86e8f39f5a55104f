"""Where an app stands below a root path, and so where the library's own pages are for a browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from stepup_middleware.asgi import KEY


def root_of(scope: Mapping[str, Any]) -> str:
    """Return the root path of the app that the middleware is around, whatever is mounted in it.

    It is the one with which the middleware was called, or a longer one that the app has given itself (FastAPI).
    """
    own = str(scope.get("app_root_path", scope.get("root_path", "")))
    context = scope.get(KEY)
    if context is None:
        return own
    called = str(context.wire.root_path)
    return own if own.startswith(called) and "app_root_path" in scope else called


def base_of(scope: Mapping[str, Any], prefix: str) -> str:
    """Return the library's prefix as a browser must write it: after the app's root path."""
    root = root_of(scope)
    return quote_path(root).rstrip("/") + prefix if root else prefix


def quote_path(path: str) -> str:
    """Return a decoded path as browsers write it."""
    return quote(path, safe="/!$&'()*+,:=@~-._", errors="surrogatepass")
