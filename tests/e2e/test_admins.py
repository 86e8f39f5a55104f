"""Admin interfaces from PyPI, unchanged but for the lines that the guide counts: by $.ajax, and by fetch."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool
from starlette.applications import Starlette

from stepup_middleware import RelyingParty, Rule, StepUp, StepUpMiddleware, Subject
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.guide.harness import serving
from tests.guide.person import plug_in_passkey
from tests.machine import free_port

from .conftest import add_factor, totp_now
from .site import use_passkey


class Base(DeclarativeBase):
    pass


class Grant(Base):
    __tablename__ = "grants"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def database() -> Engine:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(Grant(name=f"Grant {number}") for number in (1, 2, 3))
        session.commit()
    return engine


def count(engine: Engine) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count()).select_from(Grant)) or 0


def sqladmin_app(engine: Engine, stepup: StepUp, folder: Path) -> tuple[Any, list[Rule]]:
    """sqladmin deletes by jQuery's $.ajax."""
    from sqladmin import Admin, ModelView

    class GrantAdmin(ModelView, model=Grant):
        column_list = (Grant.id, Grant.name)

    app = Starlette()
    (folder / "sqladmin").mkdir()
    (folder / "sqladmin" / "base.html").write_text(
        '{% extends "sqladmin_original/base.html" %}{% block head %}{{ stepup_head(request) }}{% endblock %}'
    )
    admin = Admin(app, engine, templates_dir=str(folder))
    admin.templates.env.globals["stepup_head"] = stepup.head_for
    admin.add_view(GrantAdmin)
    return app, [Rule("DELETE", "/admin/{identity}/delete", purpose="webhook_secret_rotation")]


def starlette_admin_app(engine: Engine, stepup: StepUp, folder: Path) -> tuple[Any, list[Rule]]:
    """starlette-admin deletes by fetch."""
    from starlette_admin.contrib.sqla import Admin, ModelView

    app = Starlette()
    (folder / "base.html").write_text(
        '{% extends "@core/base.html" %}{% block head %}{{ super() }}{{ stepup_head(request) }}{% endblock %}'
    )
    admin = Admin(engine, templates_dir=str(folder), secret_key=secrets.token_hex(32))
    admin.add_view(ModelView(Grant))
    admin.mount_to(app)
    admin.templates.env.globals["stepup_head"] = stepup.head_for
    return app, [Rule("POST", "/admin/_api/{key}/row-action", purpose="webhook_secret_rotation")]


async def delete_in_sqladmin(page: Page, url: str) -> None:
    await page.goto(f"{url}/admin/grant/details/1")
    await page.get_by_text("Delete", exact=True).first.click()
    await expect(page.locator("#modal-delete-text")).to_contain_text("permanently delete")  # it knows its address
    await page.locator("#modal-delete-button").click()


async def delete_in_starlette_admin(page: Page, url: str) -> None:
    await page.goto(f"{url}/admin/grant/list")
    await page.locator('a[data-sa-name="delete"][data-sa-is-row-action="true"]').first.click()
    await page.locator('[data-sa-action="action-submit"]').click()


@asynccontextmanager
async def served(make: Callable[..., tuple[Any, list[Rule]]], engine: Engine, folder: Path) -> AsyncIterator[str]:
    port = free_port()
    url = f"http://localhost:{port}"
    signed_in_at = datetime.now(UTC)

    async def identify(scope: Any) -> Subject:
        return Subject(id="ada", session_id="s-1", workspace_id="main", name="Ada Owner", signed_in_at=signed_in_at)

    stepup = StepUp(
        secret_key=[secrets.token_urlsafe(48)],
        store=SQLiteStore(folder / "stepup.db"),
        relying_party=RelyingParty(id="localhost", name="Payday", origins=[url]),
        identify=identify,
        client_address=lambda scope: "192.0.2.1",
        bundle_htmx=False,
    )
    templates = folder / "templates"
    templates.mkdir()
    app, rules = make(engine, stepup, templates)
    async with serving(StepUpMiddleware(app, stepup=stepup, rules=rules), port):
        yield url


async def enrolled(page: Page, url: str, kind: str) -> str:
    """Enrol on the library's page; return the secret of an authenticator app."""
    await page.goto(f"{url}/stepup/factors")
    return await add_factor(page, kind)


async def answered(page: Page, kind: str, secret: str) -> None:
    """Answer the modal with the passkey, or with the next code."""
    if kind == "passkey":
        await use_passkey(page)
        return
    dialog: Locator = page.locator("dialog[open]")
    await dialog.get_by_label("Code from your authenticator app").fill(totp_now(secret, steps=1))
    await dialog.get_by_role("button", name="Authorize").click()
    await expect(dialog).to_have_count(0)


@pytest.mark.parametrize("kind", ["passkey", "totp"])
@pytest.mark.parametrize(
    ("make", "delete"),
    [(sqladmin_app, delete_in_sqladmin), (starlette_admin_app, delete_in_starlette_admin)],
    ids=["sqladmin, $.ajax", "starlette-admin, fetch"],
)
@pytest.mark.sweep()
async def test_an_admin_interface_from_pypi_steps_up_and_is_refused_a_replay(
    browser: Browser, tmp_path: Path, make: Any, delete: Any, kind: str
) -> None:
    engine = database()
    async with served(make, engine, tmp_path) as url:
        context = await browser.new_context()
        page = await context.new_page()
        await plug_in_passkey(page)
        secret = await enrolled(page, url, kind)
        sent: list[Any] = []
        page.on("request", lambda request: sent.append(request) if "stepup-token" in request.headers else None)
        await delete(page, url)
        await expect(page.locator("dialog[open]")).to_contain_text("Authorize")
        assert count(engine) == 3
        await answered(page, kind, secret)
        async with asyncio.timeout(15):
            while count(engine) == 3 or not sent:  # noqa: ASYNC110 - it is the app's database that tells
                await asyncio.sleep(0.05)
        assert count(engine) == 2
        (request,) = sent
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        again = {"method": request.method, "headers": headers, "data": request.post_data}
        replay = await context.request.fetch(request.url, **again)
        assert (replay.status, count(engine)) == (403, 2)
        await context.close()
    engine.dispose()
