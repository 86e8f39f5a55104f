"""Who asks: from configuration alone, and only where a browser would run the ceremony."""

from __future__ import annotations

from typing import Any

import pytest

from stepup_middleware.core.relying_party import RelyingParty
from stepup_middleware.errors import ConfigurationError


def relying_party(**changes: Any) -> RelyingParty:
    return RelyingParty(**{"id": "example.com", "name": "AxisSynapse", "origins": ["https://example.com"], **changes})


@pytest.mark.parametrize(
    ("rp_id", "origins"),
    [
        ("example.com", ["https://example.com"]),
        ("example.com", ["https://app.example.com:8443", "https://example.com"]),
        ("localhost", ["http://localhost:8000"]),
        ("localhost", ["http://app.localhost:8000"]),
    ],
)
def test_a_sound_relying_party_is_taken(rp_id: str, origins: list[str]) -> None:
    assert relying_party(id=rp_id, origins=origins).origins == tuple(origins)


# W06
@pytest.mark.parametrize(
    "origin",
    [
        "http://example.com",
        "https://example.com/",
        "https://example.com/path",
        "https://EXAMPLE.com",
        "HTTPS://example.com",
        "https://example.com?x",
        "https://example.com#x",
        "https://user@example.com",
        "https://notexample.com",
        "https://example.com.evil.test",
        "https://example.org",
        "example.com",
        "//example.com",
        "null",
        "",
        "*",
        "https://*",
        "android:apk-key-hash:x",
    ],
)
def test_an_origin_that_no_page_of_ours_has_stops_the_start(origin: str) -> None:
    with pytest.raises(ConfigurationError):
        relying_party(origins=["https://example.com", origin])


@pytest.mark.parametrize("origins", [[], (), "", "https://example.com"])
def test_origins_are_a_list_with_something_in_it(origins: object) -> None:
    with pytest.raises(ConfigurationError, match="list"):
        relying_party(origins=origins)


@pytest.mark.parametrize("rp_id", ["", "Example.com", "https://example.com", "example.com:443", "a/b"])
def test_an_id_is_a_bare_lower_case_domain(rp_id: str) -> None:
    with pytest.raises(ConfigurationError, match="domain"):
        relying_party(id=rp_id)


@pytest.mark.parametrize("rp_id", ["127.0.0.1", "::1", "192.0.2.7"])
def test_an_address_is_no_id_because_browsers_refuse_it(rp_id: str) -> None:
    with pytest.raises(ConfigurationError, match="domain"):
        relying_party(id=rp_id, origins=[f"https://{rp_id}"])


def test_cookies_are_secure_wherever_every_origin_is_https() -> None:
    assert relying_party().secure
    assert not relying_party(id="localhost", origins=["https://localhost", "http://localhost:8000"]).secure


# W29
def test_nothing_of_it_can_be_set_later() -> None:
    made = relying_party()
    with pytest.raises(AttributeError):
        made.id = "evil.test"  # type: ignore[misc]
    assert isinstance(made.origins, tuple)
