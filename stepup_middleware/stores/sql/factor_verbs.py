"""The verbs of factors over the engine of one database. See the contract for what each does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from datetime import datetime

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.factors import Enrolment, Factor, FactorKind, TOTPFactor, WebAuthnFactor
from stepup_middleware.stores.records import NewFactor, Records
from stepup_middleware.stores.rows import Row, enrolment_of, factor_of
from stepup_middleware.stores.sealing import (
    ENROLMENTS,
    Rewrite,
    factor_counts,
    listed_factor,
    tampered_factor,
)

from . import factors
from .engine import Engine
from .importing import import_factors

_IMPORT_SECONDS = 600.0  # 100,000 factors take about a minute


class SQLFactors(Records):
    """The verbs of factors and enrolments."""

    _engine: Engine

    async def list_factors(self, workspace_id: str, subject_id: str) -> tuple[Factor, ...]:
        rows = await self._engine.state.fetch_all("list_factors", workspace_id, subject_id)
        found = [self._factor(row) for row in rows]
        return tuple(factor for factor in found if factor is not None)

    def _factor(self, row: Row) -> Factor | None:
        """Return the factor of a row as this installation wrote it, None for another, of which it tells."""
        macs, listed = self._engine.macs, listed_factor(row)
        with suppress(TypeError, ValueError, OverflowError):  # a column that no MAC covers may hold anything
            if macs is None or factor_counts(macs, listed):
                return factor_of(row)
        self._engine.met([tampered_factor(listed)])
        return None

    async def user_handle(self, workspace_id: str, subject_id: str, *, fresh: bytes) -> bytes:
        return await self._engine.write(
            lambda transaction: factors.user_handle(transaction, workspace_id, subject_id, fresh)
        )

    async def begin_enrolment(self, enrolment: Enrolment, *, now: datetime) -> None:
        await self._engine.write(lambda transaction: factors.begin_enrolment(transaction, enrolment))

    async def pop_enrolment(
        self, workspace_id: str, subject_id: str, session: str, kind: FactorKind, *, id: str | None, now: datetime
    ) -> Enrolment | None:
        if not self._engine.storable(id):
            return None
        return await self._engine.write(
            lambda transaction: factors.pop_enrolment(transaction, workspace_id, subject_id, session, kind, id, now)
        )

    async def get_enrolment(
        self, workspace_id: str, subject_id: str, session: str, kind: FactorKind, *, id: str, now: datetime
    ) -> Enrolment | None:
        if not self._engine.storable(id):
            return None
        key = factors.enrolment_key(workspace_id, subject_id, session, kind, id, now)
        row = await self._engine.state.fetch_one("read_enrolment", *key)
        if row is None:
            return None
        macs = self._engine.macs
        if macs is not None and not ENROLMENTS.holds(macs, row):
            self._engine.met([factors.tampered_enrolment(row)])
            return None
        return enrolment_of(row)

    async def add_webauthn_factor(
        self,
        workspace_id: str,
        subject_id: str,
        factor: WebAuthnFactor,
        *,
        event: AuditEvent,
        begun: Enrolment | None = None,
    ) -> bool:
        return await self._engine.write(
            lambda transaction: factors.add_webauthn_factor(transaction, workspace_id, subject_id, factor, event, begun)
        )

    async def add_totp_factor(
        self,
        workspace_id: str,
        subject_id: str,
        factor: TOTPFactor,
        *,
        begun: Enrolment,
        event: AuditEvent,
    ) -> bool:
        return await self._engine.write(
            lambda transaction: factors.add_totp_factor(transaction, workspace_id, subject_id, factor, begun, event)
        )

    async def import_factors(
        self, new: Sequence[NewFactor], *, had: Mapping[tuple[str, str], Set[str]] | None = None, dry_run: bool = False
    ) -> tuple[int, ...]:
        return await self._engine.write(
            lambda transaction: import_factors(transaction, new, had, dry_run=dry_run), seconds=_IMPORT_SECONDS
        )

    async def rename_factor(self, workspace_id: str, subject_id: str, factor_id: str, name: str) -> bool:
        if not self._engine.storable(factor_id):
            return False
        key = (name, factor_id, workspace_id, subject_id)
        return await self._engine.write(lambda transaction: transaction.execute("rename_factor", *key)) == 1

    async def remove_factor(
        self,
        workspace_id: str,
        subject_id: str,
        factor_id: str,
        *,
        event: AuditEvent,
        now: datetime,
        only_spare: bool = False,
    ) -> bool:
        if not self._engine.storable(factor_id):
            return False
        return await self._engine.write(
            lambda transaction: factors.remove_factor(
                transaction, workspace_id, subject_id, factor_id, event, only_spare=only_spare
            )
        )

    async def reencrypt_secrets(self, limit: int, after: str, rewrite: Rewrite) -> str | None:
        return await self._engine.write(lambda transaction: factors.reencrypt(transaction, limit, after, rewrite))
