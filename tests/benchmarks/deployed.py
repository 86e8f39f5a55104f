"""An app as the deploy page serves it, ours and theirs alike: what is loaded is no work of the garbage collector's.

Uvicorn calls ``app``; ``BENCHMARK_APP`` is the function that makes it, such as ``apps:tagged``.
"""

from __future__ import annotations

import gc
import os
from importlib import import_module

from stepup_middleware.asgi import ASGIApp


def settle() -> None:
    """Do what the end of the deploy page's ``main.py`` does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def app() -> ASGIApp:
    """Make the app, and settle."""
    module, _, function = os.environ["BENCHMARK_APP"].partition(":")
    made: ASGIApp = getattr(import_module(f"tests.benchmarks.{module}"), function)()
    settle()
    return made
