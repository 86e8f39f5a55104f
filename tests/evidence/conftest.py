"""Keys are made once: RSA takes a moment."""

from __future__ import annotations

import pytest

from .generator import Generator, Key, make_keys


@pytest.fixture(scope="session")
def keys() -> list[Key]:
    return make_keys()


@pytest.fixture
def generator(keys: list[Key]) -> Generator:
    return Generator(7, keys)
