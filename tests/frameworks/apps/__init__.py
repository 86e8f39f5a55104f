"""One small app in each framework.

Each module has ``build(ran) -> ASGIApp``. The app answers at the same paths with the same words, and calls
``ran(name)`` where an endpoint runs:

====================  =================================================================
``GET /open``         untagged; answers with JSON, as do the next three
``POST /function``    a tagged function
``POST /class``       a tagged class
``POST /inside``      a handler that asks itself
``POST /sync``        a tagged function that is not async
``POST /asking``      a handler that is not async and asks itself (Django and FastAPI alone)
``POST /bound``       a tag that binds the body; answers with the body
``POST /stream``      a tagged endpoint that streams three pieces
``POST /background``  a tagged endpoint that leaves a task behind
``POST /ruled/x``     untagged here: a rule of the middleware names it
``/socket``           a tagged WebSocket
====================  =================================================================

``LACKING`` names the paths that a framework cannot have; the tests leave them out.
"""

from __future__ import annotations

from collections.abc import Callable
from pkgutil import iter_modules
from typing import Any

from stepup_middleware.asgi import Scope

_FIRST = ("starlette", "fastapi")  # of the table; the others by name, each a module of this package
FRAMEWORKS = (*_FIRST, *sorted({module.name for module in iter_modules(__path__)}.difference(_FIRST)))
LACKING = {"django": {"/socket"}, "falcon": {"/sync"}}
PURPOSE = "webhook_secret_rotation"
STRICT = "payroll_ach_transmit"
PIECES = [b"one ", b"two ", b"three"]

Ran = Callable[[str], None]


async def shown(scope: Scope) -> list[tuple[str, str]]:
    """Return the details that the modal shows."""
    return [("Path", str(scope["path"]))]


def kind_of(scope: Any) -> str:
    """Return the kind of factor of the request's proof."""
    return str(scope["stepup"].factor_kind)
