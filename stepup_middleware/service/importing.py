"""Takes over factors that people had in another system: all of a file, or nothing of it."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from importlib.resources import files
from typing import Any

from stepup_middleware.ceremonies.imported import ImportedCredential, ImportedFactor, read_line
from stepup_middleware.ceremonies.totp import TOTPSecret, read_secret
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.factors import MAX_LINE, Factor, FactorKind, TOTPFactor, WebAuthnFactor
from stepup_middleware.core.providers import provider_of
from stepup_middleware.core.purposes import Catalogue
from stepup_middleware.core.relying_party import RelyingParty
from stepup_middleware.stores.records import NewFactor, Records

from .enrolment import MAX_FACTORS
from .factors import factor_name
from .secret_box import SecretBox

MAX_LINES = 100_000  # of a file: it is read into memory, and written in one transaction
MOST_FAULTS = 100  # that are named

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ImportFault:
    """What is wrong with a ``line`` of the file, counted from 1; 0: with all of it. It quotes nothing of the line."""

    line: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What came of an import: ``imported`` by kind, nothing where there are ``faults`` (the first hundred)."""

    imported: Counter[FactorKind]
    faults: tuple[ImportFault, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    line: int
    person: tuple[str, str]
    factor: Factor
    event: AuditEvent
    secret: TOTPSecret | None


@cache
def import_schema() -> dict[str, Any]:
    """Return the published schema of a line, ``schemas/factors-1.json``."""
    text = files("stepup_middleware").joinpath("schemas", "factors-1.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


class ImportService:
    """Imports factors. Nothing is written where a line is wrong, or a person has what it brings already."""

    def __init__(
        self, *, store: Records, secret_box: SecretBox, relying_party: RelyingParty, catalogue: Catalogue
    ) -> None:
        self._store = store
        self._secret_box = secret_box
        self._relying_party = relying_party
        self._catalogue = catalogue

    async def run(
        self,
        lines: Iterable[str],
        *,
        by: str,
        now: datetime,
        dry_run: bool = False,
        notify: bool = False,
        progress: Progress = lambda count: None,
    ) -> ImportReport:
        """Import the lines of a file, or say of each wrong one what is wrong. Raises ``StoreError``.

        ``by`` names for the log who does it. With ``dry_run`` all is looked at and nothing written. With ``notify``
        each person is told of each factor. ``progress`` is called, in a thread,
        with the number of lines that were read.
        """
        faults: list[ImportFault] = []
        reading = partial(self._read, lines, faults, by=by, now=now, notify=notify, progress=progress)
        read = await asyncio.to_thread(lambda: list(reading()))
        had: dict[tuple[str, str], frozenset[str]] = {}
        faults += await self._doubles(read, had)
        if not faults:
            new = [NewFactor(*each.person, each.factor, each.event) for each in read]
            taken = await self._store.import_factors(new, had=had, dry_run=dry_run)
            faults += [
                ImportFault(read[index].line, "this credential is registered here already, by this person or another")
                for index in taken
            ]
        if faults:
            faults.sort(key=lambda fault: fault.line)
            return ImportReport(imported=Counter(), faults=tuple(faults[:MOST_FAULTS]))
        return ImportReport(imported=Counter(each.factor.kind for each in read), faults=())

    def _read(
        self,
        lines: Iterable[str],
        faults: list[ImportFault],
        *,
        by: str,
        now: datetime,
        notify: bool,
        progress: Progress,
    ) -> Iterator[_Read]:
        schema = import_schema()
        for number, text in enumerate(lines, 1):
            if number > MAX_LINES:
                faults.append(ImportFault(0, f"the file has more than {MAX_LINES} lines: import it in parts"))
                return
            progress(number)
            if not text.strip():
                continue
            try:
                if len(text) > MAX_LINE:
                    raise ValueError(f"is longer than {MAX_LINE} characters")
                found = read_line(text, schema, self._relying_party.id)
            except ValueError as error:
                faults.append(ImportFault(number, str(error)))
                continue
            yield self._made(number, found, by=by, now=now, notify=notify)

    def _made(self, line: int, found: ImportedFactor, *, by: str, now: datetime, notify: bool) -> _Read:
        factor_id, person = secrets.token_urlsafe(12), (found.workspace_id, found.subject_id)
        created_at = min(now, (found.created_at or now).astimezone(UTC))
        used_at = None if found.last_used_at is None else min(now, found.last_used_at.astimezone(UTC))
        data: dict[str, Any] = {"imported": True, "source": found.source, "by": by, "untold": not notify}
        factor: Factor
        if isinstance(found.factor, ImportedCredential):
            key = found.factor
            factor = WebAuthnFactor(
                id=factor_id,
                kind=key.kind,
                name=factor_name(found.name, key.kind),
                created_at=created_at,
                last_used_at=used_at,
                credential_id=key.credential_id,
                public_key=key.public_key,
                algorithm=key.algorithm,
                sign_count=key.sign_count,
                backup_eligible=key.backup_eligible,
                backed_up=key.backed_up,
                transports=key.transports,
                aaguid=key.aaguid,
                user_handle=found.user_handle,
            )
            data |= {
                "credential_id": key.credential_id.hex(),
                "public_key": key.public_key.hex(),
                "algorithm": key.algorithm,
                "aaguid": key.aaguid,
                "provider": provider_of(key.aaguid),
                "backup_eligible": key.backup_eligible,
                "rp_id": self._relying_party.id,
            }
        else:
            factor = TOTPFactor(
                id=factor_id,
                name=factor_name(found.name, FactorKind.TOTP),
                created_at=created_at,
                last_used_at=used_at,
                encrypted_secret=self._secret_box.encrypt(found.factor.text(), (*person, factor_id)),
                last_step=0,
            )
            data |= {
                "algorithm": found.factor.algorithm,
                "digits": found.factor.digits,
                "period": found.factor.period,
            }
        event = AuditEvent(
            at=now,
            name=EventName.FACTOR_ENROLLED,
            workspace_id=found.workspace_id,
            subject_id=found.subject_id,
            subject_name=found.subject_name,
            factor_kind=factor.kind,
            factor_id=factor.id,
            retention_years=self._catalogue.factor_retention_years,
            data=data | {"name": factor.name},
        )
        secret = None if isinstance(found.factor, ImportedCredential) else found.factor
        return _Read(line, person, factor, event, secret)

    async def _doubles(self, read: list[_Read], seen_of: dict[tuple[str, str], frozenset[str]]) -> list[ImportFault]:
        """Say which lines bring what another line or the person has already, or too many factors for a person.

        ``seen_of`` gets the ids of the factors that each person has.
        """
        faults = []
        seen: dict[bytes, int] = {}
        by_person: dict[tuple[str, str], list[_Read]] = {}
        for each in read:
            by_person.setdefault(each.person, []).append(each)
            key = _mark(each.factor, each.secret)
            if key in seen:
                faults.append(ImportFault(each.line, f"line {seen[key]} has the same credential or secret"))
            seen.setdefault(key, each.line)
        for person, theirs in by_person.items():
            had = await self._store.list_factors(*person)
            seen_of[person] = frozenset(factor.id for factor in had)
            if len(had) + len(theirs) > MAX_FACTORS:
                faults.append(ImportFault(theirs[-1].line, f"the person would have more than {MAX_FACTORS} factors"))
            secrets_had = {
                _mark(factor, read_secret(self._secret_box.decrypt(factor.encrypted_secret, (*person, factor.id))))
                for factor in had
                if isinstance(factor, TOTPFactor)
            }
            faults += [
                ImportFault(each.line, "the person has this secret already")
                for each in theirs
                if each.secret is not None and _mark(each.factor, each.secret) in secrets_had
            ]
        return faults


def _mark(factor: Factor, secret: TOTPSecret | None) -> bytes:
    """Return what no two factors may share."""
    own = factor.credential_id if isinstance(factor, WebAuthnFactor) else (secret.hmac_key() if secret else b"")
    return sha256(factor.kind.phishing_resistant.to_bytes(1, "big") + own).digest()
