"""The demo as a process of its own, forked from one that has loaded its modules: it starts twice as fast."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from demo_app.__main__ import main
from tests.demo.passwords import hash_lightly
from tests.patience import be_patient

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__, "stepup_middleware.service.wiring", "stepup_middleware.web.routes"])


def demo_process(arguments: list[str], log: Path) -> ForkServerProcess:
    """Return the process of ``python -m demo_app ARGUMENTS``, not started; what it prints goes to ``log``."""
    return _context.Process(target=_run, args=(arguments, log), daemon=True)


def _run(arguments: list[str], log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    sys.argv = ["demo_app", *arguments]
    be_patient()
    hash_lightly()
    main()
