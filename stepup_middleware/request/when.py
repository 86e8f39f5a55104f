"""Does a rule with a condition ask about a request? In any doubt it does."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from types import MappingProxyType
from typing import Any

from stepup_middleware.asgi import KEY, Receive, Scope, headers
from stepup_middleware.core.fields import Fields, strict_fields
from stepup_middleware.errors import ConfigurationError

from .body import RequestBody
from .context import logger

Answer = bool | Awaitable[bool]
When = Callable[[Scope], Answer] | Callable[[Scope, Fields], Answer]
_NOTHING: Any = MappingProxyType({})


class Undecided(Exception):
    """A condition has failed, or has said neither True nor False."""


class Condition:
    """The ``when`` of a rule, which is called with the scope, or with the scope and the fields of the request."""

    __slots__ = ("_reads_fields", "_when", "name")

    def __init__(self, when: object, *, bind_body: bool) -> None:
        self.name: str = str(getattr(when, "__qualname__", type(when).__qualname__))
        if not callable(when):
            raise ConfigurationError(f"when is a function of the scope that says True or False, and not {when!r}")
        self._when: Callable[..., Any] = when
        self._reads_fields: bool = _takes(when, _NOTHING, Fields(()))
        if not self._reads_fields and not _takes(when, _NOTHING):
            raise ConfigurationError(
                f"when is called with the scope, or with the scope and the fields of the request: write "
                f"`def {self.name}(scope)` or `def {self.name}(scope, fields)`"
            )
        if self._reads_fields and not bind_body:
            raise ConfigurationError(
                f"{self.name} decides by the fields of a request, and bind_body=False leaves the body unread: leave "
                f"bind_body as it is, or write `def {self.name}(scope)`"
            )

    async def asks(self, scope: Scope, receive: Receive) -> bool:
        """Whether a step-up is asked for: where the condition says so, and where the fields cannot be read for sure.

        Raises ``Undecided``.
        """
        values: tuple[Any, ...] = (scope,)
        if self._reads_fields:
            fields = await _fields(scope, receive)
            if fields is None:
                return True
            values = scope, fields
        try:
            answer = self._when(*values)
            if inspect.isawaitable(answer):
                answer = await answer
        except Exception as error:
            logger.exception("%s, the `when` of a rule, failed; the request is refused", self.name)
            raise Undecided from error
        if not isinstance(answer, bool):
            logger.error(
                "%s, the `when` of a rule, returned %r instead of True or False; the request is refused",
                self.name,
                answer,
            )
            raise Undecided
        return answer


def _takes(when: Callable[..., Any], *values: Any) -> bool:
    try:
        inspect.signature(when).bind(*values)
    except TypeError:
        return False
    except ValueError:  # compiled code may have no signature that can be read
        return len(values) == 1
    return True


async def _fields(scope: Scope, receive: Receive) -> Fields | None:
    """Return the fields of a request, None where an app may read others: of another body, in another coding, later."""
    body = b""
    if scope["type"] == "http":
        context = scope[KEY]
        if receive != context.receive or headers(scope, b"content-encoding"):
            return None  # something between reads the body in its own way
        read = await _whole(context.body)
        if read is None or headers(scope, b"content-length") not in ([], [b"%d" % len(read)]):
            return None
        body = read
    query = bytes(scope.get("query_string", b""))
    return strict_fields(query, headers(scope, b"content-type"), body)


async def _whole(body: RequestBody) -> bytes | None:
    body.keep_form()
    return await body.form()
