"""How long this process waits for a store: what a busy machine takes is no fault of the store. And all it logs.

The defaults are for people who wait in front of a browser. A test that is about them gives its own, or asks ``USUAL``.
"""

from __future__ import annotations

import inspect
from datetime import timedelta

from stepup_middleware import StepUp, logged
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sqlite import SQLiteStore

PATIENT = timedelta(seconds=30)
_SPANS = ((StepUp, "store_timeout"), (SQLiteStore, "timeout"), (PostgresStore, "timeout"))
USUAL = {
    f"{owner.__name__}.{name}": inspect.signature(owner).parameters[name].default  # as an app has it
    for owner, name in _SPANS
}


def write_every_line() -> None:
    """Hold no line of the log back: what one test has logged a moment ago must not be missing in the next."""
    logged.PAUSE_SECONDS = 0.0


def be_patient() -> None:
    """Give every store and ``StepUp`` that this process makes half a minute, unless it is told otherwise."""
    for owner, name in _SPANS:
        defaults = owner.__init__.__kwdefaults__
        assert defaults is not None and name in defaults
        defaults[name] = PATIENT
