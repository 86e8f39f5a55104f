"""Where the tests write: memory, where there is enough of it; and what they keep from run to run.

A database says that it has written when the disk has. No test pulls the plug, so that half of the suite's time would be
waiting for a disk: on tmpfs every call is made and answered as ever. ``TMPDIR`` says otherwise.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - tests write where every process of this machine may
ENOUGH = 4 << 30  # bytes: virtual environments, clusters and databases of all workers at once


def write_to_memory() -> None:
    """Have this process and those that it starts write to a file system in memory, unless ``TMPDIR`` names a place."""
    if "TMPDIR" not in os.environ and _serves(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # to be found again


def keep_what_is_compiled() -> None:
    """Have this process and those that it starts write ``__pycache__``, for they are hundreds."""
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _serves(folder: Path) -> bool:
    """Whether programs can be kept and run there, and much of it is free."""
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return False
    return not os.statvfs(folder).f_flag & os.ST_NOEXEC and shutil.disk_usage(folder).free >= ENOUGH
