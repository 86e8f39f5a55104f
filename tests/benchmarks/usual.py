"""Redemption as one writes it first: FastAPI and SQLAlchemy 2, a session and one commit for each request.

The same work on two tables and a log: a token serves once, and for whom and what it was issued is compared in the
statement that marks it; the log says that the action was authorized and how it ended; a request without a token gets a
prompt.
``BENCHMARK_DATABASE`` is SQLAlchemy's URL.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from sqlalchemy import event, insert, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from .apps import DETAILS, PATH, PURPOSE, ROUTE, SECRET, SESSION, identify, subject

_POOL = 10  # connections to PostgreSQL; for SQLite the pool is SQLAlchemy's own default
_LIFE = timedelta(minutes=10)


class Base(DeclarativeBase):
    """What the tables share."""


class Step(Base):
    """What a prompt and its token have in common: for whom and for what."""

    __abstract__ = True
    id: Mapped[str] = mapped_column(primary_key=True)
    person: Mapped[str]
    session: Mapped[str]
    workspace: Mapped[str]
    ip: Mapped[str]
    purpose: Mapped[str]
    request: Mapped[str]
    details: Mapped[str]
    expires_at: Mapped[datetime]


class Prompt(Step):
    """What was asked."""

    __tablename__ = "prompts"


class Token(Step):
    """What was proved; its id is the digest of the secret."""

    __tablename__ = "tokens"
    factor: Mapped[str]
    used_at: Mapped[datetime | None]


class Record(Base):
    """One line of the log."""

    __tablename__ = "log"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    name: Mapped[str]
    person: Mapped[str] = mapped_column(index=True)
    workspace: Mapped[str]
    body: Mapped[str]
    mac: Mapped[bytes]


def engine_of(url: str) -> AsyncEngine:
    """Return an engine: SQLite with a write-ahead log and every commit durable, PostgreSQL with a pool of ten."""
    if not url.startswith("sqlite"):
        return create_async_engine(url, pool_size=_POOL, max_overflow=0)
    engine = create_async_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def request_digest(method: str, path: str, query: str, body: bytes) -> str:
    """Return what a token is for."""
    return sha256(b"\n".join([method.encode(), path.encode(), query.encode(), sha256(body).digest()])).hexdigest()


def _record(name: str, bound: dict[str, str], **facts: object) -> Record:
    at = datetime.now(UTC).replace(tzinfo=None)
    body = json.dumps({"at": at.isoformat(), "name": name, **bound, **facts})
    mac = hmac.digest(SECRET, body.encode(), "sha256")
    return Record(at=at, name=name, person=bound["person"], workspace=bound["workspace"], body=body, mac=mac)


async def database(request: Request) -> AsyncIterator[AsyncSession]:
    """Give a session of the request, and commit what the endpoint did before the answer goes out."""
    async with request.app.state.sessions() as session:
        yield session
        await session.commit()


Session = Annotated[AsyncSession, Depends(database, scope="function")]


def app() -> FastAPI:
    """Return the app."""
    engine = engine_of(os.environ["BENCHMARK_DATABASE"])
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    made = FastAPI(lifespan=lifespan)
    made.state.sessions = sessions

    @made.post(ROUTE)
    async def transmit(run: str, request: Request, session: Session) -> dict[str, str]:
        who = await identify(request.scope)
        if who is None or request.client is None:
            raise HTTPException(401)
        now = datetime.now(UTC).replace(tzinfo=None)
        bound = {
            "person": who.id, "session": who.session_id, "workspace": who.workspace_id, "ip": request.client.host,
            "purpose": PURPOSE, "details": json.dumps(DETAILS),
            "request": request_digest(request.method, request.url.path, request.url.query, await request.body()),
        }  # fmt: skip
        secret = request.headers.get("stepup-token")
        if secret is None:
            prompt = Prompt(id=secrets.token_urlsafe(16), expires_at=now + _LIFE, **bound)
            session.add(prompt)
            session.add(_record("REQUIRED", bound, prompt=prompt.id))
            await session.commit()
            raise HTTPException(401, {"code": "REQUIRED", "prompt": prompt.id, "details": DETAILS})
        id_ = sha256(secret.encode()).hexdigest()
        redeem = (
            update(Token)
            .where(Token.id == id_, Token.used_at.is_(None), Token.expires_at > now)
            .where(*(getattr(Token, name) == value for name, value in bound.items()))
            .values(used_at=now)
            .returning(Token.factor)
            .execution_options(synchronize_session=False)
        )
        factor = (await session.execute(redeem)).scalar_one_or_none()
        if factor is None:
            raise HTTPException(401, {"code": "REQUIRED"})
        facts = {"token": id_, "factor": factor, "user_agent": request.headers.get("user-agent")}
        session.add(_record("AUTHORIZED", bound, **facts))
        answer = {"sent": run}
        session.add(_record("COMPLETED", bound, status=200, **facts))
        return answer

    return made


class UsualMint:
    """Tokens of one person, written straight into the table."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def create(self) -> None:
        """Make the tables."""
        engine = engine_of(self._url)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        await engine.dispose()

    async def tokens(self, count: int) -> list[str]:
        """Issue so many tokens."""
        who, expires_at = subject(SESSION), datetime.now(UTC).replace(tzinfo=None) + _LIFE
        minted = [secrets.token_urlsafe(32) for _ in range(count)]
        rows = [
            {
                "id": sha256(token.encode()).hexdigest(), "person": who.id, "session": who.session_id,
                "workspace": who.workspace_id, "ip": "127.0.0.1", "purpose": PURPOSE, "details": json.dumps(DETAILS),
                "request": request_digest("POST", PATH, "", b""), "expires_at": expires_at, "factor": "passkey-1",
            }
            for token in minted
        ]  # fmt: skip
        engine = engine_of(self._url)
        async with engine.begin() as connection:
            await connection.execute(insert(Token), rows)
        await engine.dispose()
        return minted
