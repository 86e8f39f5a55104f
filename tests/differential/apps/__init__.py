"""One echo app in each framework: an endpoint answers with everything that its framework hands it.

Each module has ``WAYS``, the ways in which its endpoints read a body, and ``build() -> ASGIApp``. Every way has
its own routes, below ``/way/`` behind a tag and below ``/open/way/`` without one (there a rule stands before the
app). The routes below each are those of ``PATTERNS``, in the words of the framework::

    x/{a}    x/{a}/{b}    n/{n:int}    p/{rest:path}    s/ (with the slash)    t (without)    host (by the host)

An endpoint answers 200 with ``told(...)``, a line a part: equal answers are equal readings.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from stepup_middleware import requires_step_up

FRAMEWORKS = tuple(sorted(module.name for module in iter_modules(__path__)))
PATTERNS = ("x/{a}", "x/{a}/{b}", "n/{n:int}", "p/{rest:path}", "s/", "t", "host")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PURPOSE = "webhook_secret_rotation"
OTHER_HOST = "admin.example"
OPEN = "open"
BOUND = frozenset(
    {
        "content-type",
        "content-encoding",
        "host",
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-forwarded-method",
        "destination",
        "overwrite",
        "depth",
        "slug",
        "if-match",
        "lock-token",
        "prefer",
        "soapaction",
        "x-api-version",
        "upload-offset",
        "x-forwarded-host",
        "x-forwarded-prefix",
        "x-original-url",
        "x-rewrite-url",
        "x-script-name",
        "x-forwarded-port",
        "accept-language",
        "content-language",
        "content-disposition",
        "content-range",
        "content-location",
        "content-transfer-encoding",
        "hx-prompt",
        "hx-trigger",
        "hx-trigger-name",
        "hx-target",
        "hx-source",
    }
)

AS_TEXT = frozenset({"raw", "json", "text", "data"})  # what an endpoint may have of a form that it reads as no form

# what the endpoints of the request in hand were handed: an answer may be replaced on its way out
handed: ContextVar[list[bytes]] = ContextVar("handed")

tagged = requires_step_up(PURPOSE)


def module_of(framework: str) -> ModuleType:
    """Return the module of a framework's echo app."""
    return import_module(f"{__name__}.{framework}")


def ways_of(framework: str) -> Sequence[str]:
    """Return the ways in which a framework's echo app reads a body."""
    ways: Sequence[str] = module_of(framework).WAYS
    return ways


def told(route: Any, **parts: Any) -> bytes:
    """Return an endpoint's answer: which route it is, and everything it was handed, by name."""
    told = {name: repr(part) for name, part in parts.items()}
    kinds = [value for name, value in parts["headers"] if name == "content-type"]
    if len(kinds) == 1 and (boundary := _boundary(kinds[0])):
        # the one thing that a repetition may write anew, where an endpoint reads its text at all
        told["headers"] = told["headers"].replace(f"boundary={boundary}", "boundary=")
        for name in told.keys() & AS_TEXT:
            told[name] = told[name].replace(f"--{boundary}", "--")
    reading = "\n".join((repr(route), *(f"{name}: {told[name]}" for name in sorted(told)))).encode()
    handed.get().append(reading)
    return reading


def _boundary(kind: str) -> str:
    """Return the text of a multipart form's boundary as it stands in its ``Content-Type``; empty if there is none."""
    media, _, boundary = kind.partition("boundary=")
    return boundary.strip('"; ') if media.lower().startswith("multipart/form-data") and ";" not in boundary else ""


def lines(headers: Iterable[tuple[Any, Any]]) -> list[tuple[str, str]]:
    """Return the header lines that decide how a request is read; those of one name in their order."""
    found = [(_text(name).lower(), _text(value)) for name, value in headers]
    return sorted((line for line in found if line[0] in BOUND), key=lambda line: line[0])


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


async def attempt(read: Callable[[], Awaitable[Any]]) -> Any:
    """Return what a reading gives, or which exception it ended with."""
    try:
        return await read()
    except Exception as error:
        return ("raised", type(error).__name__)


def attempt_now(read: Callable[[], Any]) -> Any:
    """Return what a reading that is not async gives, or which exception it ended with."""
    try:
        return read()
    except Exception as error:
        return ("raised", type(error).__name__)
