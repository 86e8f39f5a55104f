"""What holds for every test: generated examples have no stop-watch, for the machine may be busy."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("house", deadline=None, print_blob=True)
settings.register_profile("thorough", parent=settings.get_profile("house"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))
