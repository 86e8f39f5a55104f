"""``python -m tests.stores.presenting DATABASE SHOWN LEDGER SECONDS``: present pickled tokens, tell what came of it."""

from __future__ import annotations

import pickle
import sys
from datetime import timedelta
from pathlib import Path

from .crashes import present_all

if __name__ == "__main__":
    database, shown, ledger, seconds = sys.argv[1:]
    tokens = pickle.loads(Path(shown).read_bytes())  # noqa: S301 - the test that starts this wrote it
    present_all(Path(database), tokens, 1, Path(ledger), timedelta(seconds=float(seconds)))
