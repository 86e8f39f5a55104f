"""Checks the settings of ``StepUp`` where it is built: each fault says what to write instead."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from stepup_middleware.core.batches import Totals
from stepup_middleware.core.purposes import Catalogue, Purpose
from stepup_middleware.errors import ConfigurationError

_PREFIX = re.compile(r"(/[A-Za-z0-9_-]+)+")
_PAGE = re.compile(r"(https?://[^/\\\s]+|/(?![/\\]))[^\\\s]*")  # a URL, or a path of the app itself


def is_async(value: object) -> bool:
    """Whether calling this returns an awaitable, as far as can be known: partials, methods and wrappers included."""
    while isinstance(value, partial):
        value = value.func
    for each in (value, inspect.unwrap(value) if callable(value) else None, getattr(type(value), "__call__", None)):  # noqa: B004 - its own, not whether there is one
        if inspect.iscoroutinefunction(each):
            return True
    return False


def check_identify(identify: object) -> None:
    """Raise ``ConfigurationError`` unless ``identify`` is an async callable."""
    if is_async(identify):
        return
    if not callable(identify):
        raise ConfigurationError(
            f"identify tells who is signed in: write `async def identify(scope) -> Subject | None`, not {identify!r}"
        )
    raise ConfigurationError(
        f"identify must be async: write `async def {getattr(identify, '__name__', 'identify')}(scope)`, and inside it "
        "`return await ...` what asks elsewhere, or `await asyncio.to_thread(...)` what blocks"
    )


def checked_sinks(name: str, sinks: Any) -> tuple[Any, ...]:
    """Return the async callables of a setting. Raises ``ConfigurationError`` for anything but a list of them."""
    if callable(sinks):
        raise ConfigurationError(f"{name} is a list of async callables: write {name}=[{named(sinks)}]")
    if isinstance(sinks, str | bytes) or not isinstance(sinks, Iterable):
        raise ConfigurationError(f"{name} is a list of async callables: {sinks!r}")
    listed = tuple(sinks)
    for sink in listed:
        if not is_async(sink):
            raise ConfigurationError(f"{name} has async callables: write `async def` for {named(sink)}")
    return listed


_METER = ("event", "refusal", "step", "store_error", "health")  # what service.figures.Meter has
HEALTH_SECRET = 16  # characters


def checked_meters(meters: Any) -> tuple[Any, ...]:
    """Return the meters of a setting. Raises ``ConfigurationError`` for anything but a list of them."""
    if isinstance(meters, str | bytes) or not isinstance(meters, Iterable):
        raise ConfigurationError(f"metrics is a list: write metrics=[PrometheusMetrics()], not {meters!r}")
    listed = tuple(meters)
    for meter in listed:
        missing = [name for name in _METER if not callable(getattr(meter, name, None))]
        if inspect.isclass(meter) or missing:
            raise ConfigurationError(
                f"metrics has meters, such as PrometheusMetrics(): {named(meter)} has no {', '.join(missing) or 'self'}"
            )
    return listed


def checked_health(health: object) -> bool | str:
    """Return the setting of the health page. Raises ``ConfigurationError`` for a secret that is guessed."""
    if isinstance(health, bool) or (isinstance(health, str) and len(health) >= HEALTH_SECRET and health.isascii()):
        return health
    raise ConfigurationError(
        f"health is True, or a secret of {HEALTH_SECRET} ASCII characters or more: `openssl rand -hex 16` makes one"
    )


def check_clock(clock: object) -> None:
    """Raise ``ConfigurationError`` for an object that cannot be called. Its result is checked when the app starts."""
    if not callable(clock) or is_async(clock):
        raise ConfigurationError(
            f"clock is a plain function that returns an aware datetime, such as lambda: datetime.now(UTC): {clock!r}"
        )


def check_moment(moment: object) -> None:
    """Raise ``ConfigurationError`` unless the clock returned an aware datetime."""
    if not isinstance(moment, datetime):
        raise ConfigurationError(f"clock must return an aware datetime, not {moment!r}: write datetime.now(UTC)")
    if moment.utcoffset() is None:
        raise ConfigurationError("clock returns a naive datetime, in no zone: write datetime.now(UTC)")


def check_client_address(look_up: object) -> None:
    """Raise ``ConfigurationError`` unless ``client_address`` is None or a plain function."""
    if look_up is not None and (not callable(look_up) or is_async(look_up)):
        raise ConfigurationError(
            "client_address is a plain function of the scope that returns an address or None, not async: "
            f"{named(look_up)}"
        )


def check_end_session(end_session: object) -> None:
    """Raise ``ConfigurationError`` unless ``end_session`` is None or an async callable."""
    if end_session is not None and not is_async(end_session):
        raise ConfigurationError(
            "end_session ends a session of the app: write `async def end_session(ended: EndedSession) -> None`, "
            f"not {named(end_session)}"
        )


def check_addresses(trusted_proxies: object, proxy_header: object, ipv6_prefix: object) -> None:
    """Raise ``ConfigurationError`` for a header that no proxy writes, or that nobody is trusted with, or a prefix."""
    if proxy_header not in ("x-forwarded-for", "forwarded"):
        raise ConfigurationError(f'proxy_header is "x-forwarded-for" or "forwarded", and not {proxy_header!r}')
    if proxy_header != "x-forwarded-for" and not trusted_proxies:
        raise ConfigurationError("proxy_header says what your proxies write: name them in trusted_proxies")
    if isinstance(ipv6_prefix, bool) or not isinstance(ipv6_prefix, int) or not 48 <= ipv6_prefix <= 128:
        raise ConfigurationError(
            f"ipv6_prefix is how many bits of an IPv6 address count, from 48 (a site) to 128 (all): {ipv6_prefix!r}"
        )


def check_prefix(prefix: object) -> None:
    """Raise ``ConfigurationError`` unless this is a path under which the library can serve its pages."""
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(f"prefix is a path without a slash at its end, such as /stepup: {prefix!r}")


def check_pages(**urls: object) -> None:
    """Raise ``ConfigurationError`` for a setting that is neither None, a path of the app nor an http(s) URL."""
    for name, url in urls.items():
        if url is not None and not (isinstance(url, str) and _PAGE.fullmatch(url)):
            raise ConfigurationError(f"{name} is a path such as /, or an http(s) URL: {url!r}")


def check_positive(**numbers: object) -> None:
    """Raise ``ConfigurationError`` for a setting that is no whole number above zero."""
    for name, number in numbers.items():
        if type(number) is not int or number < 1:
            raise ConfigurationError(f"{name} must be a positive whole number: {number!r}")


def check_spans(**spans: object) -> None:
    """Raise ``ConfigurationError`` for a setting that is no ``timedelta`` above zero."""
    for name, span in spans.items():
        if not isinstance(span, timedelta) or span <= timedelta(0):
            raise ConfigurationError(f"{name} must be a positive timedelta, such as timedelta(seconds=2): {span!r}")


def checked_totals(totals: Totals | None, catalogue: Catalogue) -> Totals:
    """Return ``totals``. Raises ``ConfigurationError`` for an unknown purpose, or for what is no plain function."""
    for purpose, make in (totals or {}).items():
        if catalogue.get(purpose) is None:
            raise ConfigurationError(f"totals: {purpose!r} is none of the purposes of this app")
        if not callable(make) or is_async(make):
            raise ConfigurationError(
                f"totals: what makes the total of {purpose} is a plain function, not async, that is given the "
                f"details of each request and their language, and returns a label and a text: {named(make)}"
            )
    return dict(totals or {})


def checked_purposes(purposes: object) -> Sequence[Purpose]:
    """Return the purposes of a setting as a list. Raises ``ConfigurationError`` for anything else."""
    if isinstance(purposes, Purpose):
        raise ConfigurationError("purposes is a list: write purposes=[...]")
    if isinstance(purposes, str | bytes) or not isinstance(purposes, Iterable):
        raise ConfigurationError(f"purposes is a list of Purpose, such as PLATFORM_PURPOSES: {purposes!r}")
    listed: list[Any] = list(purposes.values() if isinstance(purposes, dict) else purposes)
    for purpose in listed:
        if not isinstance(purpose, Purpose):
            raise ConfigurationError(f"purposes is a list of Purpose: {purpose!r} is none")
    return listed


def checked_folder(name: str, folder: object) -> str | None:
    """Return the path of a folder, None for none. Raises ``ConfigurationError`` unless it is there."""
    if folder is None:
        return None
    if not isinstance(folder, str | Path) or not Path(folder).is_dir():
        raise ConfigurationError(f"{name} is the path of a folder: {folder!r}")
    return str(folder)


def named(value: object) -> str:
    return str(getattr(value, "__qualname__", None) or repr(value))
