"""Passwords of the demo in tests: the same Argon2id, with as little work as it takes."""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher

from demo_app import accounts

USUAL = accounts._hasher  # as the demo has it


def hash_lightly() -> None:
    """Hash what this process hashes with little memory: hundreds of demos have one password, which all know."""
    accounts._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    accounts._NOBODY = accounts.hash_password(secrets.token_urlsafe())
