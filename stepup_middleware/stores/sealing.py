"""Rows that count only with a MAC of this installation: whoever writes to the database alone cannot make one.

A MAC covers every column that decides something. Names, times of use and hints for browsers are not among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stepup_middleware.log.records import RowKind, RowMacs, Scalar

from .rows import Row

# in the order in which statements give them, before the MAC
FACTOR_COLUMNS = (
    "id", "workspace", "subject", "kind", "sign_count", "created_at", "credential_id", "public_key", "algorithm",
    "backup_eligible", "aaguid", "user_handle", "encrypted_secret",
)  # fmt: skip
FACTOR = RowKind("factor", frozenset(FACTOR_COLUMNS))
_NEW = ("id", "workspace", "subject", "kind", "name", "created_at", "last_used_at", "credential_id", "public_key",
        "algorithm", "sign_count", "backup_eligible", "backed_up", "transports", "aaguid", "user_handle",
        "encrypted_secret")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tampered:
    """A row whose MAC does not hold: its table, its key there, and whose it says it is."""

    table: str
    key: str
    workspace_id: str
    subject_id: str


TamperTaker = Callable[[Tampered], None]


def factor_mac(macs: RowMacs, row: Row) -> bytes:
    """Return the MAC of a factor with these values of ``FACTOR_COLUMNS``."""
    return macs.make(FACTOR, _factor(row))


def factor_holds(macs: RowMacs, row: Row) -> bool:
    """Tell whether a row of ``FACTOR_COLUMNS`` and the MAC is as this installation wrote it."""
    *values, mac = row
    try:
        return macs.holds(FACTOR, _factor(values), mac)
    except (TypeError, ValueError):  # a value of a type that no honest writer gave it
        return False


def sealed_factor(macs: RowMacs, row: Row) -> tuple[Any, ...]:
    """Return a row of ``factor_row`` with its MAC."""
    values = dict(zip(_NEW, row, strict=True))
    return (*row, factor_mac(macs, [values[name] for name in FACTOR_COLUMNS]))


def used_factor_mac(macs: RowMacs, row: Row, sign_count: int | None) -> bytes:
    """Return the MAC of a row as it is once the factor was used. ``sign_count`` None leaves the count as it is."""
    values = list(row[:-1])
    if sign_count is not None:
        values[FACTOR_COLUMNS.index("sign_count")] = sign_count
    return factor_mac(macs, values)


def rewritten_factor(macs: RowMacs, row: Row, rewrite: Callable[[bytes], bytes]) -> tuple[str, bytes | None, bytes]:
    """Return id, secret and MAC of a row under the first key. ``rewrite`` encrypts a secret anew."""
    values = list(row[:-1])
    secret: bytes | None = values[-1]
    if secret is not None:
        secret = values[-1] = rewrite(secret)
    return values[0], secret, factor_mac(macs, values)


def listed_factor(row: Row) -> Row:
    """Return a row of ``list_factors`` as ``FACTOR_COLUMNS`` and the MAC."""
    id_, kind, _, created_at, _, credential_id, public_key, algorithm, sign_count, eligible, *rest = row
    _, _, aaguid, user_handle, secret, _, workspace, subject, mac = rest
    head = (id_, workspace, subject, kind, sign_count, created_at, credential_id, public_key, algorithm, eligible)
    return (*head, aaguid, user_handle, secret, mac)


def _factor(values: Sequence[Scalar]) -> dict[str, Scalar]:
    named = dict(zip(FACTOR_COLUMNS, values, strict=True))
    eligible = named["backup_eligible"]
    named["backup_eligible"] = None if eligible is None else bool(eligible)  # SQLite has 0 and 1
    return named
