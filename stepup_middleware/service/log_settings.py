"""Checks the settings of ``StepUp`` that say who signs the log, and who cosigns it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.log.keys import LOG_TYPES, SigningKey, read_signing_keys
from stepup_middleware.log.witness.client import Witness, WitnessGroup


def read_log_keys(log_key: object) -> tuple[SigningKey, ...]:
    """Return the keys of a log from the file that ``stepup keygen --log`` wrote, or its text; none for None.

    Raises ``ConfigurationError`` for anything else; it never quotes what it read.
    """
    if log_key is None:
        return ()
    make = "make it with `stepup keygen --log NAME --output FILE`"
    if isinstance(log_key, os.PathLike):
        try:
            text = Path(log_key).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"log_key cannot be read: {error}; {make}") from None
    elif isinstance(log_key, str) and "PRIVATE+KEY+" in log_key:
        text = log_key
    else:
        raise ConfigurationError(f"log_key is the Path of a key file, or the text of one: {make}")
    keys = {key.verifier.type: key for key in read_signing_keys(text, LOG_TYPES)}
    if keys.keys() != set(LOG_TYPES):
        raise ConfigurationError(f"log_key needs both of its keys, Ed25519 and ML-DSA-44: {make}")
    return tuple(keys[type_] for type_ in LOG_TYPES)


def new_log_key(name: str) -> str:
    """Return new keys for the log of a name, like ``example.com/stepup``: the text of a key file, for ``log_key``.

    It is secret. Raises ``ValueError`` for a name that no signature can carry.
    """
    return "".join(f"{SigningKey.generate(name, type_).secret_text()}\n" for type_ in LOG_TYPES)


def checked_witnesses(witnesses: Any, quorum: object) -> WitnessGroup:
    """Return the witnesses of a log. ``quorum`` None asks for more than half of them."""
    if isinstance(witnesses, str | bytes | Witness) or not isinstance(witnesses, Iterable):
        raise ConfigurationError(f"witnesses is a list: write witnesses=[Witness(url, vkey)], not {witnesses!r}")
    listed = list(witnesses)
    for witness in listed:
        if not isinstance(witness, Witness):
            raise ConfigurationError(f"witnesses is a list of Witness(url, vkey): {witness!r} is none")
    if quorum is None:
        quorum = len(listed) // 2 + 1 if listed else 0
    if type(quorum) is not int:
        raise ConfigurationError(f"quorum is a whole number, how many of the witnesses must cosign: {quorum!r}")
    return WitnessGroup(listed, quorum=quorum)
