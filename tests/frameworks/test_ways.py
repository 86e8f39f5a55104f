"""Every way into a tagged class of every framework is behind its tag, or the class is refused before anything runs."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from stepup_middleware import ConfigurationError, StepUpMiddleware, requires_step_up
from tests.guide.person import Person

from .apps import PURPOSE
from .shapes import FRAMEWORKS, METHODS
from .site import ORIGIN, Site, life
from .ways import measured, table

pytestmark = pytest.mark.parametrize("framework", FRAMEWORKS)
NEVER_TAKEN = {"blacksheep": 1}  # classes; a controller's methods are tagged instead


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Let nobody be told what the frameworks think of classes that are written this way."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


# G01
async def test_nothing_of_a_tagged_class_runs_signed_out_by_any_method(framework: str, tmp_path: Path) -> None:
    rows = await measured(framework, tmp_path)
    assert [row.shape for row in rows if any(row.tagged.values())] == [], table(rows)
    idle = [row.shape for row in rows if not any(row.untagged.values())]
    assert idle == [], f"{idle} never run, even untagged: is that how {framework} takes a class?\n{table(rows)}"
    asked = sum(row.cell(method) == "asked" for row in rows for method in METHODS)
    least = 0 if framework in NEVER_TAKEN else 60
    assert asked >= least, f"{asked} ways in were tried, of at least {least}: add shapes\n{table(rows)}"


# G02
async def test_with_a_proof_a_class_of_every_shape_that_was_taken_runs_once(framework: str, tmp_path: Path) -> None:
    site = Site(str(tmp_path / "stepup.db"), frameworks=())
    shapes = importlib.import_module(f"tests.frameworks.shapes.{framework}").SHAPES
    taken = 0
    async with site.stepup:
        person = Person(None, None, origin=ORIGIN)  # type: ignore[arg-type] # each app is put behind it in turn
        for row in await measured(framework, tmp_path):
            method = next((each for each in ("POST", "GET", "OPTIONS", "QUERY") if row.untagged[each]), None)
            if row.refused or method is None:
                continue
            runs: list[int] = []

            def ran(runs: list[int] = runs) -> None:
                runs.append(1)

            app = StepUpMiddleware(shapes[row.shape](requires_step_up(PURPOSE), ran), stepup=site.stepup)
            async with AsyncExitStack() as stack:
                if framework != "django":
                    await stack.enter_async_context(life(app.app))
                person.http = httpx2.AsyncClient(
                    transport=httpx2.ASGITransport(app=app, client=("192.0.2.1", 5000), raise_app_exceptions=False),
                    base_url=ORIGIN,
                    headers={"origin": ORIGIN, "sec-fetch-site": "same-origin", "accept": "application/json"},
                    cookies={"session": "ada"},
                )
                if not taken:
                    await person.enrol_passkey()
                asked = await person.ask(method, "/x")
                assert runs == [], row.shape
                await person.http.request(
                    method, "/x", headers={"stepup-token": await person.prove(asked)}, follow_redirects=False
                )
                assert len(runs) == row.untagged[method], row.shape
            taken += 1
    assert taken >= (0 if framework in NEVER_TAKEN else 8)


# G03
def test_a_class_that_its_framework_reaches_otherwise_is_refused_where_it_is_tagged(framework: str) -> None:
    class Plain:
        """No endpoint."""

        def method(self) -> None: ...

    with pytest.raises(ConfigurationError, match="no endpoint class"):
        requires_step_up(PURPOSE)(Plain)
