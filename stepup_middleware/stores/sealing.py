"""Rows that count only with a MAC of this installation: who writes to the database alone cannot make one.

A MAC covers every column that decides something. Names, times of use and hints for browsers are not among them. It does
not tell a row from an older copy of it: what was taken away and is put back, the log tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from stepup_middleware.core.canonical import canonical_string
from stepup_middleware.core.decisions import Presentation
from stepup_middleware.log.records import RowKind, RowMacs, Scalar

from .rows import Row


def sealed_table(table: str, kind: str, *columns: str) -> RowKind:
    """Return the rows of a table."""
    return RowKind(kind, columns, table)


HANDLES = sealed_table("people", "user_handle", "workspace", "subject", "user_handle")
POLICIES = sealed_table("policies", "policy", "workspace", "version", "requirements")
PROMPTS = sealed_table(
    "prompts", "prompt", "id", "workspace", "subject", "session", "created_at", "expires_at", "body"
)  # fmt: skip
ENROLMENTS = sealed_table(
    "enrolments", "enrolment",
    "workspace", "subject", "session", "kind", "id", "basis", "ip", "begun_at", "expires_at", "challenge",
    "encrypted_secret",
)  # fmt: skip
KEYS = sealed_table("mac_keys", "mac_key", "id")
TOKEN_COLUMNS = (
    "epoch", "nonce", "prompt", "workspace", "subject", "session", "ip", "purpose", "requirement", "policy_version",
    "request_digest", "details_digest", "factor", "factor_kind", "issued_at", "expires_at",
)  # fmt: skip

# in the order in which statements give them, before the MAC
FACTOR_COLUMNS = (
    "id", "workspace", "subject", "kind", "sign_count", "created_at", "credential_id", "public_key", "algorithm",
    "backup_eligible", "aaguid", "user_handle", "encrypted_secret",
)  # fmt: skip
FACTORS = sealed_table("factors", "factor", *FACTOR_COLUMNS)
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


class MissingKeys(NamedTuple):
    """Ids of keys with which MACs that are kept were made, and that the ring lacks."""

    ours: tuple[bytes, ...]  # of keys that this installation had: a reason not to start
    strange: tuple[bytes, ...]  # that it never had: somebody else wrote the rows, which do not count


Place = tuple[str, str, str]  # of a secret: workspace, subject, and the id of its factor or enrolment
Rewrite = Callable[[bytes, Place], bytes]


def sealed_token(macs: RowMacs, epoch: int, row: Row) -> tuple[Any, ...]:
    """Return the row of a token of an epoch, its MAC last. ``row`` is one of ``grant_row``."""
    return (epoch, *row, macs.make_for_text(_token_text(epoch, *row)))


def redeemed_token_holds(macs: RowMacs, shown: Presentation, facts: Row, epoch: int, mac: object) -> bool:
    """Tell whether a token that was redeemed is as this installation minted it.

    The presentation knows what the statement compared, and the ``Facts`` of the row the rest.
    """
    prompt, factor, factor_kind, requirement, policy_version, issued_at, expires_at = facts
    row = (
        shown.reference.nonce, prompt, shown.workspace_id, shown.subject_id, shown.session, shown.ip, shown.purpose,
        requirement, policy_version, shown.request_digest, shown.details_digest, factor, factor_kind, issued_at,
        expires_at,
    )  # fmt: skip
    return token_holds(macs, epoch, row, mac)


def token_row_holds(macs: RowMacs, row: Row) -> bool:
    """Tell the same of a row of ``read_tokens``."""
    return token_holds(macs, row[23], (row[1], *row[3:17]), row[24])


def tampered_token(shown: Presentation) -> Tampered:
    """Return what is told of a token that does not count."""
    return Tampered("tokens", str(shown.reference.id), shown.workspace_id, shown.subject_id)


def token_holds(macs: RowMacs, epoch: int, row: Row, mac: object) -> bool:
    """Tell whether a token is as this installation minted it. Its state has no MAC: see the threat model."""
    if not isinstance(mac, bytes):
        return False
    try:
        return macs.holds_for_text(_token_text(epoch, *row), mac)
    except (TypeError, ValueError, AttributeError):  # a value of a type that no honest writer gave it
        return False


def _token_text(
    epoch: int,
    nonce: bytes,
    prompt: str,
    workspace: str,
    subject: str,
    session: str,
    ip: str,
    purpose: str,
    requirement: str,
    policy_version: int,
    request: bytes,
    details: bytes,
    factor: str,
    factor_kind: str,
    issued_at: int,
    expires_at: int,
) -> str:
    """Return the one text of a token. No other row has it: the others name their kind in an object."""
    text = canonical_string
    return (
        f'["token",{epoch:d},"{nonce.hex()}",{text(prompt)},{text(workspace)},{text(subject)},{text(session)},{text(ip)}'
        f",{text(purpose)},{text(requirement)},{policy_version:d},"
        f'"{request.hex()}","{details.hex()}",{text(factor)},{text(factor_kind)},{issued_at:d},{expires_at:d}]'
    )


def factor_mac(macs: RowMacs, row: Row) -> bytes:
    """Return the MAC of a factor with these values of ``FACTOR_COLUMNS``."""
    return macs.make(FACTORS, dict(zip(FACTOR_COLUMNS, _as_made(row), strict=True)))


def factor_holds(macs: RowMacs, row: Row) -> bool:
    """Tell whether a row of ``FACTOR_COLUMNS`` and the MAC is as this installation wrote it."""
    *values, mac = row
    return FACTORS.holds(macs, (*_as_made(values), mac))


def factor_counts(macs: RowMacs, row: Row) -> bool:
    """Tell whether a row of ``FACTOR_COLUMNS``, whether the log says that it was removed, and the MAC counts."""
    *values, removed, mac = row
    return not removed and factor_holds(macs, (*values, mac))


def sealed_factor(macs: RowMacs, row: Row) -> tuple[Any, ...]:
    """Return a row of ``factor_row`` with its MAC."""
    values = dict(zip(_NEW, row, strict=True))
    return (*row, factor_mac(macs, [values[name] for name in FACTOR_COLUMNS]))


def used_factor_mac(macs: RowMacs, row: Row, sign_count: int | None) -> bytes:
    """Return the MAC of a factor as it is once it was used. ``sign_count`` None leaves the count as it is."""
    values = list(row[: len(FACTOR_COLUMNS)])
    if sign_count is not None:
        values[FACTOR_COLUMNS.index("sign_count")] = sign_count
    return factor_mac(macs, values)


def rewritten_factor(macs: RowMacs, row: Row, rewrite: Rewrite) -> tuple[str, bytes | None, bytes]:
    """Return id, secret and MAC of a row under the first key. ``rewrite`` encrypts a secret anew, given its place:
    workspace, subject and id.
    """
    values = list(row[:-1])
    secret: bytes | None = values[-1]
    if secret is not None:
        secret = values[-1] = rewrite(secret, (values[1], values[2], values[0]))
    return values[0], secret, factor_mac(macs, values)


def listed_factor(row: Row) -> Row:
    """Return a row of ``list_factors`` as ``factor_counts`` takes it."""
    id_, kind, _, created_at, _, credential_id, public_key, algorithm, sign_count, eligible, *rest = row
    _, _, aaguid, user_handle, secret, _, workspace, subject, removed, mac = rest
    head = (id_, workspace, subject, kind, sign_count, created_at, credential_id, public_key, algorithm, eligible)
    return (*head, aaguid, user_handle, secret, removed, mac)


def tampered_factor(row: Row) -> Tampered:
    """Return what is told of a row of ``FACTOR_COLUMNS`` that does not count."""
    return Tampered("factors", str(row[0]), str(row[1]), str(row[2]))


def _as_made(values: Sequence[Scalar]) -> list[Scalar]:
    """Return the values of a factor as they were when its MAC was made: SQLite has 0 and 1 for truth."""
    made, eligible = list(values), FACTOR_COLUMNS.index("backup_eligible")
    if made[eligible] is not None:
        made[eligible] = bool(made[eligible])
    return made
