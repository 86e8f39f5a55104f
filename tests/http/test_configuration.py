"""What cannot be served safely stops the start, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware import (
    PLATFORM_PURPOSES,
    AttemptLimit,
    ClusterRule,
    ConfigurationError,
    StepUp,
    Subject,
)
from stepup_middleware.core.purposes import FACTOR_CHANGE, Purpose
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.support import KEY, RP

Scope = Any
HEAD_KEY = bytes(range(100, 132))


async def nobody(scope: Scope) -> Subject | None:
    return None


async def sink(event: object) -> None:
    return None


def configured(folder: Path, **settings: Any) -> StepUp:
    needed = {"secret_key": KEY, "store": SQLiteStore(folder / "x.db"), "relying_party": RP, "identify": nobody}
    return StepUp(**{**needed, **settings})


def sync_identify(scope: Scope) -> Subject | None:
    return None


def returns_nothing(event: object) -> None:
    return None


async def generates(scope: Scope) -> AsyncIterator[None]:
    yield None


class SyncCallable:
    def __call__(self, scope: Scope) -> None:
        return None


class Methods:
    async def identify(self, scope: Scope) -> Subject | None:
        return None

    async def __call__(self, scope: Scope) -> None:
        return None


@wraps(nobody)
def wrapped(*args: Any, **kwargs: Any) -> Any:
    return nobody(*args, **kwargs)


@pytest.mark.parametrize(
    "identify", [nobody, Methods().identify, Methods(), partial(nobody), partial(Methods()), wrapped]
)
def test_an_async_callable_of_any_kind_identifies(tmp_path: Path, identify: Any) -> None:
    assert configured(tmp_path, identify=identify)


PURPOSE = PLATFORM_PURPOSES[0]


# U04
@pytest.mark.parametrize(
    ("setting", "value", "advice"),
    [
        ("identify", None, "write `async def identify(scope) -> Subject | None`"),
        ("identify", "ada", "write `async def identify(scope) -> Subject | None`"),
        ("identify", sync_identify, "write `async def sync_identify(scope)`"),
        ("identify", lambda scope: None, "identify must be async"),
        ("identify", partial(sync_identify), "identify must be async"),
        ("identify", SyncCallable(), "identify must be async"),
        ("identify", generates, "identify must be async"),
        ("identify", Methods, "identify must be async"),
        ("on_event", sink, "write on_event=[sink]"),
        ("on_event", [returns_nothing], "write `async def` for returns_nothing"),
        ("on_event", [sink, None], "write `async def` for None"),
        ("on_event", "sink", "a list of async callables"),
        ("on_event", None, "a list of async callables"),
        ("clock", None, "datetime.now(UTC)"),
        ("clock", datetime.now(UTC), "datetime.now(UTC)"),
        ("clock", nobody, "a plain function"),
        ("client_address", "192.0.2.7", "a plain function"),
        ("client_address", nobody, "not async"),
        ("trusted_proxies", "10.0.0.1", "write ['10.0.0.1']"),
        ("trusted_proxies", ["*"], "by address or network"),
        ("proxy_header", "x-real-ip", 'is "x-forwarded-for" or "forwarded"'),
        ("proxy_header", "forwarded", "name them in trusted_proxies"),
        ("ipv6_prefix", 32, "from 48"),
        ("relying_party", "example.com", "RelyingParty(id="),
        ("relying_party", None, "RelyingParty(id="),
        ("store", None, "such as SQLiteStore(...)"),
        ("store", SQLiteStore, "such as SQLiteStore(...)"),
        ("store", "x.db", "such as SQLiteStore(...)"),
        ("prefix", "", "such as /stepup"),
        ("prefix", "/", "such as /stepup"),
        ("prefix", "stepup", "such as /stepup"),
        ("prefix", "/stepup/", "such as /stepup"),
        ("prefix", "/step up", "such as /stepup"),
        ("prefix", "/{x}", "such as /stepup"),
        ("prefix", "/stepup\n", "such as /stepup"),
        ("prefix", None, "such as /stepup"),
        ("home_url", "javascript:alert(1)", "a path such as /"),
        ("home_url", "//evil.test", "a path such as /"),
        ("home_url", 7, "a path such as /"),
        ("enroll_url", "javascript:alert(1)", "a path such as /"),
        ("enroll_url", "factors", "a path such as /"),
        ("purposes", [], "has no purpose"),
        ("purposes", PURPOSE, "write purposes=[...]"),
        ("purposes", "payroll", "a list of Purpose"),
        ("purposes", ["payroll"], "'payroll' is none"),
        ("purposes", None, "a list of Purpose"),
        ("purposes", [PURPOSE, PURPOSE], "listed twice"),
        ("purposes", [FACTOR_CHANGE], "choose another"),
        ("max_bound_body", 0, "positive whole number"),
        ("max_bound_body", "1 MiB", "positive whole number"),
        ("max_bound_body", True, "positive whole number"),
        ("open_prompts_per_session", 0, "positive whole number"),
        ("open_prompts_per_session", 1.5, "positive whole number"),
        ("store_timeout", 1.5, "a positive timedelta"),
        ("store_timeout", timedelta(0), "a positive timedelta"),
        ("secret_key", None, "stepup keygen"),
        ("secret_key", [], "stepup keygen"),
        ("secret_key", 7, "one key or a list"),
        ("secret_key", Path("secret.key"), "one key or a list"),
        ("secret_key", {KEY}, "one key or a list"),
        ("secret_key", repr(bytes(range(32, 64))), "give the bytes"),
        ("secret_key", "aA0-Zz9yx" * 6 + "\n", "split it into a list"),
        ("secret_key", "aA0-" * 12 + "," + "bB1_" * 12, "split it into a list"),
        ("secret_key", "aA0-Zz9yx" * 6 + "\n" + "bB1_Yy8xw" * 6, "split it into a list"),
        ("secret_key", "aA0-Zz9yx" * 6 + "\ud800", "give it as bytes"),
        ("secret_key", [[KEY]], "32 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_set_up_that_cannot_be_served_is_refused_with_what_to_write(
    tmp_path: Path, setting: str, value: object, advice: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(advice)):
        configured(tmp_path, **{setting: value})


def naive() -> datetime:
    return datetime(2026, 11, 24)  # noqa: DTZ001 - this is what must be refused


@pytest.mark.parametrize("clock", [naive, lambda: 1_795_000_000, lambda: None, lambda: "2026-11-24T12:00:00Z"])
async def test_a_clock_that_tells_no_zone_stops_the_start(tmp_path: Path, clock: Any) -> None:
    stepup = configured(tmp_path, clock=clock)
    with pytest.raises(ConfigurationError, match=r"write datetime\.now\(UTC\)"):
        await stepup.start()
    assert not (tmp_path / "x.db").exists()


async def test_a_clock_of_another_zone_than_utc_is_taken(tmp_path: Path) -> None:
    async with configured(tmp_path, clock=lambda: datetime.now(timezone(timedelta(hours=2)))) as stepup:
        assert (await stepup.health()).is_ready


@pytest.mark.parametrize(
    "limit",
    [
        {"failures": 0},
        {"failures": "5"},
        {"disable_at": 0},
        {"pause": timedelta(0)},
        {"pause": 60},
        {"pause": timedelta(hours=2)},
        {"longest": 3600},
    ],
    ids=str,
)
def test_a_limit_that_bounds_nothing_is_refused(limit: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="AttemptLimit"):
        AttemptLimit(**limit)


@pytest.mark.parametrize(
    "rule", [{"failures": 1}, {"failures": "5"}, {"within": timedelta(0)}, {"within": 600}], ids=str
)
def test_a_cluster_that_is_none_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"at least two|ClusterRule"):
        ClusterRule(**rule)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"id": "Refund"}, "lower-case letters"),
        ({"id": 7}, "lower-case letters"),
        ({"title": ""}, "title must be text"),
        ({"title": " "}, "title must be text"),
        ({"authorize_title": None}, "authorize_title must be text"),
        ({"consequence": b"Money moves."}, "consequence must be text"),
        ({"description": None}, "description must be text"),
        ({"minimum": "phr"}, "unknown minimum"),
        ({"ttl": 60}, "1 second to 5 minutes"),
        ({"ttl": timedelta(minutes=6)}, "1 second to 5 minutes"),
        ({"retention_years": 0}, "1 to 100"),
        ({"deprecated": "2027"}, "Deprecation(on=date(...), text=...)"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_purpose_is_said_with_what_to_write(changes: dict[str, Any], advice: str) -> None:
    sound: dict[str, Any] = {
        "id": "refund",
        "title": "Refund",
        "authorize_title": "Authorize refund",
        "consequence": "Money goes back.",
        "minimum": "any",
        "ttl": timedelta(seconds=60),
    }
    assert Purpose(**sound)
    with pytest.raises(ConfigurationError, match=re.escape(advice)):
        Purpose(**{**sound, **changes})
