"""The echo apps as a server imports them, configured by the environment.

``STEPUP_TEST_DATABASE`` is the SQLite file, ``STEPUP_TEST_FRAMEWORKS`` the frameworks.
"""

from __future__ import annotations

import os

from .site import Served

app = Served(os.environ["STEPUP_TEST_DATABASE"], os.environ["STEPUP_TEST_FRAMEWORKS"].split(","))
