"""Rows of the tables of recovery and the values of the contract, each made from the other, with their MACs.

Each MAC covers every column of its row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from stepup_middleware.core.factors import EnrolmentBasis
from stepup_middleware.core.moments import from_micros, to_micros
from stepup_middleware.core.recovery import (
    EnrolmentPass,
    EnrolmentRight,
    Hold,
    Person,
    RecoveryCodes,
    ResetRequest,
    folded,
)
from stepup_middleware.log.records import RowMacs

from .rows import Row
from .sealing import sealed_table

_HASH_BYTES = 32


PASSES = sealed_table(
    "enrolment_passes", "enrolment_pass",
    "workspace", "subject", "id", "digest", "issued_at", "issued_by", "expires_at", "tries", "used_at",
)  # fmt: skip
RIGHTS = sealed_table(
    "enrolment_rights", "enrolment_right", "workspace", "subject", "session", "ip", "basis", "expires_at"
)
CODES = sealed_table(
    "recovery_codes", "recovery_codes", "workspace", "subject", "id", "made_at", "salt", "hashes", "used"
)
REQUESTS = sealed_table(
    "reset_requests", "reset_request",
    "workspace", "subject", "id", "subject_name", "reason", "requested_by", "requested_by_name", "requested_at",
    "expires_at", "with_pass",
)  # fmt: skip
PEOPLE = sealed_table("known_people", "known_person", "workspace", "subject", "name", "login", "sort", "search")


def pass_row(new: EnrolmentPass) -> tuple[Any, ...]:
    """Return the row of a pass."""
    used_at = None if new.used_at is None else to_micros(new.used_at)
    return (
        new.workspace_id, new.subject_id, new.id, new.digest, to_micros(new.issued_at), new.issued_by,
        to_micros(new.expires_at), new.tries, used_at,
    )  # fmt: skip


def pass_of(row: Row) -> EnrolmentPass:
    """Return the pass of a row."""
    workspace, subject, id_, digest, issued_at, issued_by, expires_at, tries, used_at = row[:9]
    return EnrolmentPass(
        id=id_,
        workspace_id=workspace,
        subject_id=subject,
        digest=bytes(digest),
        issued_at=from_micros(issued_at),
        issued_by=issued_by,
        expires_at=from_micros(expires_at),
        tries=tries,
        used_at=None if used_at is None else from_micros(used_at),
    )


def right_row(right: EnrolmentRight) -> tuple[Any, ...]:
    """Return the row of a right."""
    until = to_micros(right.expires_at)
    return right.workspace_id, right.subject_id, right.session, right.ip, right.basis.value, until


def right_of(row: Row) -> EnrolmentRight:
    """Return the right of a row."""
    workspace, subject, session, ip, basis, until = row[:6]
    return EnrolmentRight(
        workspace_id=workspace,
        subject_id=subject,
        session=session,
        ip=ip,
        basis=EnrolmentBasis(basis),
        expires_at=from_micros(until),
    )


def codes_row(codes: RecoveryCodes) -> tuple[Any, ...]:
    """Return the row of a set of recovery codes."""
    return (
        codes.workspace_id, codes.subject_id, codes.id, to_micros(codes.made_at), codes.salt, b"".join(codes.hashes),
        json.dumps(sorted(codes.used)),
    )  # fmt: skip


def codes_of(row: Row) -> RecoveryCodes:
    """Return the recovery codes of a row."""
    workspace, subject, id_, made_at, salt, hashes, used = row[:7]
    whole = bytes(hashes)
    return RecoveryCodes(
        id=id_,
        workspace_id=workspace,
        subject_id=subject,
        made_at=from_micros(made_at),
        salt=bytes(salt),
        hashes=tuple(whole[at : at + _HASH_BYTES] for at in range(0, len(whole), _HASH_BYTES)),
        used=frozenset(json.loads(used)),
    )


def hold_of(workspace_id: str, subject_id: str, until: int | None, now: datetime) -> Hold | None:
    """Return the hold on a person until a moment, None where there is none or it is over."""
    if until is None or until <= to_micros(now):
        return None
    return Hold(workspace_id=workspace_id, subject_id=subject_id, until=from_micros(until))


def request_row(request: ResetRequest) -> tuple[Any, ...]:
    """Return the row of a reset that waits."""
    return (
        request.workspace_id, request.subject_id, request.id, request.subject_name, request.reason,
        request.requested_by, request.requested_by_name, to_micros(request.requested_at),
        to_micros(request.expires_at), int(request.with_pass),
    )  # fmt: skip


def request_of(row: Row) -> ResetRequest:
    """Return the reset of a row."""
    workspace, subject, id_, name, reason, by, by_name, at, until, with_pass = row[:10]
    return ResetRequest(
        id=id_,
        workspace_id=workspace,
        subject_id=subject,
        subject_name=name,
        reason=reason,
        requested_by=by,
        requested_by_name=by_name,
        requested_at=from_micros(at),
        expires_at=from_micros(until),
        with_pass=bool(with_pass),
    )


def person_row(workspace_id: str, person: Person) -> tuple[Any, ...]:
    """Return the row of a person: how they are sorted and found comes last."""
    sort = (person.name or person.login or person.subject_id).casefold()
    search = folded("\n".join((person.name, person.login, person.subject_id)))
    return workspace_id, person.subject_id, person.name, person.login, sort, search


def person_of(macs: RowMacs | None, row: Row) -> Person:
    """Return the person of a row; by the id alone where somebody else wrote the name."""
    if macs is not None and not PEOPLE.holds(macs, row):
        return Person(subject_id=row[1])
    return Person(subject_id=row[1], name=row[2], login=row[3])


def like(text: str) -> str:
    """Return the pattern of LIKE (with the escape ``!``) for what has a text in it, as ``folded`` compares."""
    plain = folded(text).replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{plain}%"


def cursor_of(row: Row) -> str:
    """Return the place of a row of people in their order."""
    return json.dumps([row[4], row[1]])


def place_of(cursor: str | None) -> Sequence[str]:
    """Return what a cursor says: sort and id. One that is none begins at the beginning."""
    try:
        sort, subject = json.loads(cursor or "")
    except (ValueError, TypeError, RecursionError):
        return "", ""
    return (sort, subject) if isinstance(sort, str) and isinstance(subject, str) else ("", "")
