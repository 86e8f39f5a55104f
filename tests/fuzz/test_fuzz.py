"""The corpus, what hypothesis makes of it, and a few hundred hostile requests; for more: ``python -m tests.fuzz``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.frameworks.apps import FRAMEWORKS
from tests.support import Answer

from . import spellings
from .requests import Site, hands_out_a_token
from .targets import CORPUS, TARGETS


def seeds(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


@st.composite
def edited(draw: st.DrawFn, target: str) -> bytes:
    """Draw a seed of a target with a few pieces of it replaced."""
    data = draw(st.sampled_from(seeds(target)))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        data = data[:start] + draw(st.binary(max_size=8)) + data[end:]
    return data


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_no_seed_of_the_corpus_breaks_a_promise(target: str) -> None:
    for data in seeds(target):
        TARGETS[target](data)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_no_edit_of_a_seed_and_no_bytes_at_all_break_a_promise(target: str) -> None:
    @given(edited(target) | st.binary(max_size=200))
    @settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    def holds(data: bytes) -> None:
        TARGETS[target](data)

    holds()


@pytest.mark.parametrize(
    ("headers", "body", "handed_out"),
    [
        ({"content-type": "application/json"}, b'{"token": "x", "expires_at": ""}', True),
        ({"content-type": "text/html"}, b'<input type="hidden" name="token" value="2">', False),
        ({"content-type": "application/problem+json"}, b'{"code": "STEPUP_REQUIRED"}', False),
        ({"set-cookie": "stepup-token=x; Path=/bound; HttpOnly"}, b"", True),
        ({"set-cookie": "stepup-token=; Path=/bound; Max-Age=0"}, b"", False),
    ],
)
def test_a_token_is_told_from_a_field_that_the_client_sent(
    headers: dict[str, str], body: bytes, handed_out: bool
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    answer = Answer([{"status": 200, "headers": raw}, {"body": body}])
    assert hands_out_a_token(answer) is handed_out


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


# T11 D04
def test_no_request_without_a_proof_runs_anything_or_fails_inside(site: Site) -> None:
    for data in seeds("request"):
        site.check(data)

    @given(edited("request"))
    @settings(suppress_health_check=list(HealthCheck))
    def holds(data: bytes) -> None:
        site.check(data)

    holds()


# H01 H02 H04 H11 H13
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_no_spelling_of_a_path_reaches_an_endpoint_in_any_framework(framework: str, tmp_path: Path) -> None:
    assert await spellings.tried(framework, tmp_path, seconds=60, most=200, seed=1) == (200, "")
