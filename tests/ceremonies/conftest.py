"""Fixtures: a freshly enrolled factor of each kind."""

from __future__ import annotations

import pytest

from .support import Enrolled, enrolled_hardware_key, enrolled_passkey


@pytest.fixture
def hardware_key() -> Enrolled:
    return enrolled_hardware_key()


@pytest.fixture
def passkey() -> Enrolled:
    return enrolled_passkey()
