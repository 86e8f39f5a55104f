"""``stepup.prove``: a question that came by another way than a response is asked, and its token handed to the app."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from .site import Site, requester, small_site, use_passkey

PROVE = """(problem) => stepup.prove(problem).then((token) => ({ token }), (error) => ({ error: error.name }))"""


async def problem_at(page: Page, site: Site) -> dict[str, Any]:
    """Ask as a client of its own does, with the person's cookies, and return the problem."""
    headers = {"accept": "application/json", "origin": site.url}
    answer = await page.context.request.post(f"{site.url}/act", headers=headers)
    assert answer.status == 401
    problem: dict[str, Any] = await answer.json()
    return problem


async def test_a_problem_that_came_by_another_way_is_proved_and_its_token_serves_once(
    browser: Browser, tmp_path: Path
) -> None:
    async with small_site(tmp_path, "<p>Start</p>") as site, requester(browser, site) as page:
        problem = await problem_at(page, site)
        proved = asyncio.ensure_future(page.evaluate(PROVE, problem))
        await use_passkey(page)
        token = (await proved)["token"]
        assert not site.ran
        headers = {"accept": "application/json", "origin": site.url, "stepup-token": token}
        assert (await page.context.request.post(f"{site.url}/act", headers=headers)).ok
        assert (await page.context.request.post(f"{site.url}/act", headers=headers)).status == 403
        assert len(site.ran) == 1


@pytest.mark.parametrize("slow", [False, True], ids=["at once", "later"])
async def test_a_cancelled_question_is_over_however_soon_the_server_hears_of_it(
    browser: Browser, tmp_path: Path, slow: bool
) -> None:
    heard = asyncio.Event()

    async def cancel_late(route: Route) -> None:
        if route.request.method == "DELETE" and slow:
            await heard.wait()
        await route.continue_()

    async with small_site(tmp_path, "<p>Start</p>") as site, requester(browser, site) as page:
        await page.route("**/stepup/prompts/*", cancel_late)
        problem = await problem_at(page, site)
        asked = asyncio.ensure_future(page.evaluate(PROVE, problem))
        await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        assert await asked == {"error": "StepUpCancelled"}
        again = asyncio.ensure_future(page.evaluate(PROVE, problem))
        await expect(page.get_by_role("dialog")).to_contain_text("This question is over")
        assert await again == {"error": "StepUpCancelled"}
        async with page.expect_response(lambda answer: answer.request.method == "DELETE") if slow else nullcontext():
            heard.set()


async def test_a_question_that_was_cancelled_elsewhere_ends_as_cancelled(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, "<p>Start</p>") as site, requester(browser, site) as page:
        problem = await problem_at(page, site)
        headers = {"origin": site.url, "content-type": "application/json"}
        assert (await page.context.request.delete(site.url + problem["prompt"]["url"], headers=headers)).status == 204
        asked = asyncio.ensure_future(page.evaluate(PROVE, problem))
        await expect(page.get_by_role("dialog")).to_contain_text("This question is over")
        assert await asked == {"error": "StepUpCancelled"}


async def test_a_problem_with_the_address_of_another_origin_is_not_asked(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, "<p>Start</p>") as site, requester(browser, site) as page:
        for url in ("https://elsewhere.example/stepup/prompts/x", "javascript:alert(1)", None):
            assert await page.evaluate(PROVE, {"prompt": {"url": url}}) == {"error": "TypeError"}
        await expect(page.get_by_role("dialog")).to_have_count(0)
