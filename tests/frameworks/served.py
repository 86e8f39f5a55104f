"""The site as a server imports it, configured by the environment.

``STEPUP_TEST_DATABASE`` is the SQLite file, ``STEPUP_TEST_TRUSTED`` the proxies that are trusted,
``STEPUP_TEST_FRAMEWORKS`` the apps (all of them, if it is not set).
"""

from __future__ import annotations

import os

from .apps import FRAMEWORKS
from .site import Site


def named(variable: str) -> tuple[str, ...]:
    """Return the words of an environment variable."""
    return tuple(word for word in os.environ.get(variable, "").split(",") if word)


app = Site(
    os.environ["STEPUP_TEST_DATABASE"],
    frameworks=named("STEPUP_TEST_FRAMEWORKS") or FRAMEWORKS,
    trusted_proxies=named("STEPUP_TEST_TRUSTED"),
)
