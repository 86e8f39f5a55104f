"""Middleware of every kind that people write, none of which keeps its inner app as ``app``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from stepup_middleware.asgi import ASGIApp, Receive, Scope, Send


class ByAttribute:
    """Keeps it as an attribute."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.inner(scope, receive, send)


class BySlot:
    """Keeps it in a slot with two underscores."""

    __slots__ = ("__next",)

    def __init__(self, inner: ASGIApp) -> None:
        self.__next = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.__next(scope, receive, send)


class ByHost:
    """Keeps several, by host."""

    def __init__(self, inner: ASGIApp) -> None:
        self.sites = {"a": [("/", inner)], "b": []}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.sites["a"][0][1](scope, receive, send)


class ByMethod:
    """Is called by a bound method."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.inner(scope, receive, send)


def closure(inner: ASGIApp) -> ASGIApp:
    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        await inner(scope, receive, send)

    return outer


def plain_closure(inner: ASGIApp) -> ASGIApp:
    return lambda scope, receive, send: inner(scope, receive, send)


def any_arguments(inner: ASGIApp) -> ASGIApp:
    async def outer(*args: Any) -> None:
        await inner(*args)

    return outer


async def _run(inner: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await inner(scope, receive, send)


def partial(inner: ASGIApp) -> ASGIApp:
    return functools.partial(_run, inner)


def class_attribute(inner: ASGIApp) -> ASGIApp:
    async def call(self: Any, scope: Scope, receive: Receive, send: Send) -> None:
        await self.behind[0](scope, receive, send)

    made: ASGIApp = type("ByClass", (), {"behind": (inner,), "__call__": call})()
    return made


_app_of_the_module: ASGIApp


def module_global(inner: ASGIApp) -> ASGIApp:
    global _app_of_the_module
    _app_of_the_module = inner

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        await _app_of_the_module(scope, receive, send)

    return outer


def four_deep(inner: ASGIApp) -> ASGIApp:
    return ByHost(closure(BySlot(partial(inner))))


WRAPPERS: dict[str, Callable[[ASGIApp], ASGIApp]] = {
    "an attribute": ByAttribute,
    "a slot": BySlot,
    "a dictionary of lists": ByHost,
    "a bound method": lambda inner: ByMethod(inner).handle,
    "a closure": closure,
    "a lambda": plain_closure,
    "a closure over any arguments": any_arguments,
    "a partial": partial,
    "a class attribute": class_attribute,
    "a global of its module": module_global,
    "four of them": four_deep,
}
