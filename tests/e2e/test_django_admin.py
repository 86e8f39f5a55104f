"""Django's admin under ASGI, as the guide tags it by rules: one deletion, and a selection that is deleted in bulk."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Request, expect

from tests.guide.harness import blocks_of
from tests.guide.person import plug_in_passkey
from tests.machine import free_port
from tests.served.processes import SECONDS, answers

from .conftest import add_factor, totp_now

SETTINGS = """
from pathlib import Path
HERE = Path(__file__).parent.parent
SECRET_KEY = "the key of a test's own Django project"
DEBUG = True
ALLOWED_HOSTS = ["localhost"]
ROOT_URLCONF = "payday.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "django.db"}}
STATIC_URL = "static/"
"""
SETUP = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "payday.settings"
import django
django.setup()
from django.contrib.auth.models import Group, User
from django.core.management import call_command
call_command("migrate", verbosity=0)
User.objects.create_superuser("ada", password="axis-demo")
Group.objects.bulk_create(Group(name=f"Group {number}") for number in range(1, 6))
"""


@asynccontextmanager
async def project(folder: Path, *, purpose: str) -> AsyncIterator[str]:
    """Serve a Django project with the guide's ASGI file; yield its address."""
    port = free_port()
    origin = f"http://localhost:{port}"
    named = {block.name: block.text for block in blocks_of("frameworks")}
    package = folder / "payday"
    package.mkdir()
    (package / "settings.py").write_text(SETTINGS, encoding="utf-8")
    (package / "urls.py").write_text(
        "from django.contrib import admin\nfrom django.urls import path\n"
        "urlpatterns = [path('admin/', admin.site.urls)]\n"
    )
    asgi = named["admin"].replace("account_erasure_finalize", purpose)
    (package / "asgi.py").write_text(asgi, encoding="utf-8")
    step_up = named["step_up"].replace("http://localhost:8000", origin)
    (package / "step_up.py").write_text(step_up, encoding="utf-8")
    (folder / "secret.key").write_text(secrets.token_urlsafe(48), encoding="utf-8")
    (folder / "setup.py").write_text(SETUP, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(folder)}

    async def run(*arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=folder, env=environment)

    assert await (await run("setup.py")).wait() == 0
    served = await run("-m", "uvicorn", "payday.asgi:application", "--port", str(port), "--log-level", "warning")
    try:
        async with asyncio.timeout(SECONDS):
            await answers(port, served)
        yield origin
    finally:
        if served.returncode is None:
            served.terminate()
        await served.wait()


async def groups(page: Page, origin: str) -> int:
    await page.goto(f"{origin}/admin/auth/group/")
    return await page.locator("input[name=_selected_action]").count()


async def delete_two(page: Page) -> None:
    """Choose two groups and the action, and go to the page that asks whether one is sure."""
    for number in (0, 1):
        await page.locator("input[name=_selected_action]").nth(number).check()
    await page.locator("select[name=action]").select_option("delete_selected")
    await page.locator("button[name=index]").click()
    await expect(page.locator("h1").last).to_contain_text("Delete multiple objects")  # nobody was asked so far


@pytest.mark.parametrize("kind", ["passkey", "totp"])
async def test_djangos_admin_asks_at_the_deletion_of_a_selection_and_not_before(
    browser: Browser, tmp_path: Path, kind: str
) -> None:
    purpose = "webhook_secret_rotation" if kind == "totp" else "account_erasure_finalize"
    async with project(tmp_path, purpose=purpose) as origin:
        context = await browser.new_context()
        page = await context.new_page()
        await plug_in_passkey(page)
        missing: list[str] = []
        page.on("response", lambda each: missing.append(each.url) if each.status == 404 else None)
        await page.goto(f"{origin}/admin/")
        await page.get_by_label("Username").fill("ada")
        await page.get_by_label("Password").fill("axis-demo")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_text("Site administration").first).to_be_visible()
        await page.goto(f"{origin}/stepup/factors")
        secret = await add_factor(page, kind)
        assert await groups(page, origin) == 5
        assert missing == []  # the admin has its styles and scripts
        await delete_two(page)
        posts: list[Request] = []
        page.on("request", lambda each: posts.append(each) if each.method == "POST" else None)
        await page.locator("input[type=submit]").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Authorize")
        if kind == "passkey":
            await page.get_by_role("button", name="Use passkey").click()
        else:
            await page.get_by_label("Code from your authenticator app").fill(totp_now(secret, steps=1))
            await page.get_by_role("button", name="Authorize").click()
        await expect(page.locator(".messagelist")).to_contain_text("Successfully deleted 2 groups")
        assert await groups(page, origin) == 3
        if kind == "passkey":  # the next code of an authenticator app would take half a minute
            await one_by_one(page)
            assert await groups(page, origin) == 2
        left = await groups(page, origin)
        await not_again(page, [each for each in posts if each.url.endswith("/admin/auth/group/")])
        assert await groups(page, origin) == left
        await context.close()


async def one_by_one(page: Page) -> None:
    """Delete a group on its own page."""
    await page.locator("#result_list tbody th a").first.click()
    await page.locator("a.deletelink").click()
    await page.locator("input[type=submit]").click()
    await page.get_by_role("button", name="Use passkey").click()
    await expect(page.locator(".messagelist")).to_contain_text("was deleted successfully")


async def not_again(page: Page, posts: list[Request]) -> None:
    """Send what was sent once more, token and cookie included: it asks, or is refused."""
    assert posts
    for sent in posts:
        headers = {name: value for name, value in (await sent.all_headers()).items() if not name.startswith(":")}
        headers.pop("content-length", None)
        answer = await page.context.request.fetch(
            sent.url, method="POST", headers=headers, data=sent.post_data or "", max_redirects=0
        )
        assert answer.status in (401, 403)
