"""A peer on FastAPI: the sudo window of crudauth, with its sessions in memory, as it is without settings.

The person is read from a SQLite database at ``BENCHMARK_DATABASE`` with each request. It writes no log, and none is
written here: it does less.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from crudauth import CRUDAuth, Principal, SudoConfig
from crudauth.models import AuthUserMixin
from fastapi import Depends, FastAPI, Form, Request
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase

from .apps import ROUTE
from .usual import engine_of


class Base(DeclarativeBase):
    """What the tables share."""


class User(Base, AuthUserMixin):
    """The one person."""

    __tablename__ = "users"


_ENGINE = engine_of(os.environ["BENCHMARK_DATABASE"])
_SESSIONS = async_sessionmaker(_ENGINE, expire_on_commit=False)


async def database() -> AsyncIterator[AsyncSession]:
    """Give a session of the request."""
    async with _SESSIONS() as session:
        yield session


_AUTH = CRUDAuth(
    session=database,
    user_model=User,
    SECRET_KEY="a key of the benchmarks, of no other use",
    sudo=SudoConfig(window_seconds=3600),  # longer than the benchmark takes
)
_Signed = Annotated[Principal, Depends(_AUTH.current_user())]
_Proved = Annotated[Principal, Depends(_AUTH.require_sudo())]


def app() -> FastAPI:
    """Return the app."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with _ENGINE.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        await _AUTH.initialize()
        yield
        await _AUTH.shutdown()
        await _ENGINE.dispose()

    made = FastAPI(lifespan=lifespan)
    made.include_router(_AUTH.router)

    @made.post("/sudo")
    async def sudo(request: Request, user: _Signed, password: Annotated[str, Form()]) -> dict[str, str]:
        assert _AUTH.sudo is not None
        until = await _AUTH.sudo.elevate(user, password, request=request)
        return {"until": until.isoformat()}

    @made.post(ROUTE)
    async def transmit(run: str, user: _Proved) -> dict[str, str]:
        return {"sent": run}

    return made
