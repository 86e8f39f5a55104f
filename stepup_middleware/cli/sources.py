"""Where a command reads from: a SQLite file, a PostgreSQL database, or the store of an app."""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.frameworks import apps_within
from stepup_middleware.frameworks.search import within
from stepup_middleware.middleware import StepUpMiddleware
from stepup_middleware.stores import open_store
from stepup_middleware.stores.audit_log import AuditLog
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.sqlite import SQLiteLog

from .output import is_sqlite


def add_source(command: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add ``--database`` and ``--app`` to a command."""
    source = command.add_mutually_exclusive_group(required=required)
    source.add_argument("--database", help="a SQLite file of the library, or a postgresql:// address")
    source.add_argument("--app", metavar="MODULE:APP", help="the app whose store to use")


def load_middleware(target: str) -> StepUpMiddleware:
    """Import ``MODULE:APP`` and return the middleware on it, wherever it was put. Raises ``ConfigurationError``.

    ``MODULE:create_app`` and ``MODULE:create_app()`` are called. The app may be wrapped, have the middleware from
    ``add_middleware`` or in its list, and other middleware around and between.
    """
    module_name, separator, attribute = target.removesuffix("()").partition(":")
    if not separator:
        raise ConfigurationError("name the app as MODULE:APP, such as main:app")
    if "" not in sys.path:
        sys.path.insert(0, "")
    app: Any = importlib.import_module(module_name)
    for part in attribute.split("."):
        app = getattr(app, part, None)
        if app is None:
            raise ConfigurationError(f"{module_name} has no {attribute}")
    if inspect.isfunction(app) and not inspect.iscoroutinefunction(app) and not inspect.signature(app).parameters:
        app = app()  # a factory
    middleware = placed(app)
    if middleware is None:
        raise ConfigurationError(f"{target} is not wrapped in StepUpMiddleware: its tagged routes refuse to run")
    if middleware.fault is not None:
        raise middleware.fault
    return middleware


def placed(app: Any) -> StepUpMiddleware | None:
    """Return the outermost middleware on an app; what Starlette builds with its first event is built for that."""
    for inner, framework, _ in apps_within(app):
        framework.build(inner)
    found = within(app, lambda value: isinstance(value, StepUpMiddleware))
    return next((middleware for middleware, _ in found), None)


def _file(database: str) -> Path | None:
    """Return the path of a SQLite file, None for an address. Raises ``ConfigurationError`` for a file not there."""
    if "://" in database:
        return None
    path = Path(database)
    if not path.exists():
        raise ConfigurationError(f"there is no database at {path}")
    if path.is_file() and not is_sqlite(path):
        raise ConfigurationError(f"{path} is no database of this library")
    return path


@asynccontextmanager
async def opened_log(options: argparse.Namespace) -> AsyncIterator[AuditLog]:
    """Open the log that ``--database`` or ``--app`` names, to read it. A file is not written to.

    Raises ``ConfigurationError`` for none there.
    """
    path = None if options.database is None else _file(options.database)
    if path is None:
        async with opened_store(options) as store:
            yield store.records
        return
    async with SQLiteLog(path) as log:
        yield log


@asynccontextmanager
async def opened_store(options: argparse.Namespace) -> AsyncIterator[HotState]:
    """Open the store that ``--database`` or ``--app`` names. Raises ``ConfigurationError`` for none there."""
    if options.database is not None:
        store = open_store(_file(options.database) or options.database)
    else:
        store = load_middleware(options.app).stepup._parts.store
    async with store:
        yield store
