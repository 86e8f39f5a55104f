"""Who asks: from configuration alone, and only where a browser would run the ceremony."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("app.localhost", ["http://app.localhost"]),
        ("t.co", ["https://t.co"]),
        ("pay.example.co.uk", ["https://pay.example.co.uk"]),
        ("me.github.io", ["https://me.github.io"]),
        ("xn--mnchen-3ya.de", ["https://xn--mnchen-3ya.de", "https://my_app.xn--mnchen-3ya.de"]),
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


@pytest.mark.parametrize(
    ("origin", "advice"),
    [
        ("https://example.com/", "write 'https://example.com'"),
        ("https://example.com/a?b#c", "write 'https://example.com'"),
        ("https://Example.com:8443", "write 'https://example.com:8443'"),
        ("HTTPS://example.com", "write 'https://example.com'"),
        ("https://example.com:443", "write 'https://example.com'"),
        ("https://example.com:443/", "write 'https://example.com'"),
        ("https://example.com:08443", "write 'https://example.com:8443'"),
        ("https://*", "list each origin by itself"),
        ("https://*.example.com", "list each origin by itself"),
        ("https://example.com:*", "list each origin by itself"),
        ("https://example.com:0", "no port between 1 and 65535"),
        ("https://example.com:65536", "no port between 1 and 65535"),
        ("https://example.com:4430000", "no port between 1 and 65535"),
        ("https://example.com:", "no port between 1 and 65535"),
        ("https://example.com:x", "no port between 1 and 65535"),
        ("https://münchen.example.com", "xn--"),
        ("https://user:pass@example.com", "without a user"),
        ("example.com", "such as https://example.com"),
        ("http://example.com", "must be https"),
        ("http://localhost.example.com", "must be https"),
        ("ftp://example.com", "must be https"),
        ("https://example.com ", "outside"),
        (" https://example.com", "scheme://host"),
        ("https://ex\tample.com", "outside"),
        ("https://evil .example.com", "outside"),
        ("https://[::1]", "outside"),
        (b"https://example.com", "are text"),
        (None, "are text"),
        ("https://example.com", "listed twice"),
    ],
    ids=str,
)
def test_what_is_wrong_with_an_origin_is_said_with_what_to_write(origin: str, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(advice)):
        relying_party(origins=["https://example.com", origin])


@given(
    st.sampled_from(["http", "https", "HTTPS"]),
    st.sampled_from(["", "app.", "APP.", "a.b."]),
    st.sampled_from(["", ":80", ":443", ":8000", ":00443"]),
    st.sampled_from(["", "/", "/path", "?query", "#part"]),
)
def test_an_origin_is_taken_as_browsers_write_it_and_the_advice_is_taken_too(
    scheme: str, sub: str, port: str, rest: str
) -> None:
    origin = f"{scheme}://{sub}localhost{port}{rest}"
    try:
        relying_party(id="localhost", origins=[origin])
    except ConfigurationError as error:
        (advice,) = re.findall("write '(.*?)'", str(error))
        assert relying_party(id="localhost", origins=[advice]).origins == (advice,) != (origin,)
    else:
        url = urlsplit(origin)
        assert origin == f"{url.scheme}://{url.netloc}" == origin.lower()
        assert (url.scheme, url.port) not in {("http", 80), ("https", 443)}


@pytest.mark.parametrize("origins", [[], (), "", "https://example.com"])
def test_origins_are_a_list_with_something_in_it(origins: object) -> None:
    with pytest.raises(ConfigurationError, match="list"):
        relying_party(origins=origins)


@pytest.mark.parametrize(
    "rp_id", ["", "Example.com", "https://example.com", "example.com:443", "a/b", None, b"example.com"]
)
def test_an_id_is_a_bare_lower_case_domain(rp_id: str) -> None:
    with pytest.raises(ConfigurationError, match="domain"):
        relying_party(id=rp_id)


@pytest.mark.parametrize(
    ("rp_id", "advice"),
    [
        ("Example.com", "write 'example.com'"),
        ("https://Example.com:8443/login", "write 'example.com'"),
        ("example.com:443", "write 'example.com'"),
        ("example.com.", "write 'example.com'"),
        (".example.com", "write 'example.com'"),
        (" example.com", "write 'example.com'"),
        ("*.example.com", "without a wildcard"),
        ("münchen.de", "xn--"),
        ("a..example.com", "nothing around it"),
        ("-a.example.com", "nothing around it"),
        ("x" * 64 + ".com", "nothing around it"),
        (".".join(["x" * 60] * 5), "nothing around it"),
        ("com", "public suffix"),
        ("intranet", "a name of one network alone"),
        ("co.uk", "your own name in front"),
        ("com.au", "your own name in front"),
        ("github.io", "your own name in front"),
        ("ngrok-free.app", "your own name in front"),
        ("127.0.0.1", "not an IP address"),
        ("127.1", "not an IP address"),
        ("1.0x7f", "not an IP address"),
    ],
)
def test_what_is_wrong_with_an_id_is_said_with_what_to_write(rp_id: str, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(advice)):
        relying_party(id=rp_id, origins=[f"https://{rp_id}"])


@pytest.mark.parametrize("name", ["", "  ", None, b"Axis"])
def test_a_relying_party_has_a_name_that_browsers_can_show(name: object) -> None:
    with pytest.raises(ConfigurationError, match="what browsers show"):
        relying_party(name=name)


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
