"""The client's address in one spelling, and whose word about it counts."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.client_ip import canonical_ip, client_behind, trusted_networks
from stepup_middleware.errors import ConfigurationError

LOCAL = trusted_networks(["127.0.0.1"])
INNER = trusted_networks(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])


# I01
@given(st.ip_addresses(v=4))
def test_an_ipv4_mapped_address_is_the_ipv4_address_it_carries(address: ipaddress.IPv4Address) -> None:
    assert canonical_ip(f"::ffff:{address}") == canonical_ip(str(address)) == str(address)


# I02
@given(st.ip_addresses(v=6))
def test_every_spelling_of_an_ipv6_address_is_one(address: ipaddress.IPv6Address) -> None:
    spellings = {address.compressed, address.exploded, address.compressed.upper(), address.exploded.upper() + "%eth0"}
    assert len({canonical_ip(spelling) for spelling in spellings}) == 1


# I02
def test_a_zone_id_and_the_case_make_no_difference() -> None:
    assert canonical_ip("FE80::1%eth0") == canonical_ip("fe80:0:0::1") == "fe80::1"


# I03
def test_a_new_privacy_address_in_the_same_network_is_another_address() -> None:
    assert canonical_ip("2001:db8:1:2:aaaa::1") != canonical_ip("2001:db8:1:2:bbbb::1")


# I13
@pytest.mark.parametrize("address", ["2002:c000:0207::1", "64:ff9b::192.0.2.7", "::192.0.2.7"])
def test_tunnelled_and_translated_forms_are_not_the_ipv4_address(address: str) -> None:
    assert canonical_ip(address) != "192.0.2.7"
    assert canonical_ip(address) is not None


# I07
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a",
        "<script>",
        "1.2.3.4:80",
        "[::1]:80",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.256",
        "0x7f.0.0.1",
        "2130706433",
        "1.2.3.4\n",
        " 1.2.3.4",
        "1.2.3.4, 5.6.7.8",
        "\u0661.\u0662.\u0663.\u0664",
        "unix:",
        "::1::",
        "localhost",
        "unknown",
        "1" * 100_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert canonical_ip(text) is None


@given(st.text(max_size=60))
def test_no_text_raises_and_what_is_read_reads_the_same_again(text: str) -> None:
    address = canonical_ip(text)
    assert address is None or canonical_ip(address) == address


# I09
def test_without_trusted_proxies_nobodys_word_counts() -> None:
    assert client_behind("192.0.2.7", ["6.6.6.6"], ()) == "192.0.2.7"


# I09
@given(st.ip_addresses(), st.lists(st.text(max_size=20), max_size=4))
def test_an_untrusted_peer_is_the_client_whatever_it_claims(
    peer: ipaddress.IPv4Address | ipaddress.IPv6Address, claims: list[str]
) -> None:
    address = canonical_ip(str(peer))
    assert address is not None
    if address != "127.0.0.1":
        assert client_behind(address, claims, LOCAL) == address


# I06
def test_the_right_most_hop_that_no_proxy_vouches_away_is_the_client() -> None:
    assert client_behind("127.0.0.1", ["6.6.6.6, 7.7.7.7"], LOCAL) == "7.7.7.7"
    assert client_behind("127.0.0.1", ["6.6.6.6, 7.7.7.7, 10.0.0.9"], INNER) == "7.7.7.7"


# I06
def test_several_headers_count_in_their_order() -> None:
    assert client_behind("127.0.0.1", ["6.6.6.6", "7.7.7.7"], LOCAL) == "7.7.7.7"
    assert client_behind("127.0.0.1", ["7.7.7.7", "10.1.2.3, 10.0.0.9"], INNER) == "7.7.7.7"


# I01 I06
def test_a_hop_is_brought_to_its_one_spelling() -> None:
    assert client_behind("127.0.0.1", ["::FFFF:7.7.7.7"], LOCAL) == "7.7.7.7"
    assert client_behind("127.0.0.1", ["2001:DB8:0::1"], LOCAL) == "2001:db8::1"


# I07
@pytest.mark.parametrize(
    "claims",
    [[""], ["a"], ["<script>"], ["1.2.3.4:80"], ["6.6.6.6,"], ["6.6.6.6", ""], ["1.2.3.4, unknown"], [","]],
)
def test_a_hop_that_is_no_address_closes(claims: list[str]) -> None:
    assert client_behind("127.0.0.1", claims, LOCAL) is None


# I07
def test_garbage_beyond_the_client_does_no_harm() -> None:
    assert client_behind("127.0.0.1", ["<script>, 7.7.7.7"], LOCAL) == "7.7.7.7"


# I07
def test_ten_thousand_hops_are_no_way_around() -> None:
    claims = ["6.6.6.6, " + ", ".join(["10.0.0.1"] * 10_000)]
    assert client_behind("127.0.0.1", claims, INNER) == "10.0.0.1"


def test_a_trusted_peer_that_forwards_for_nobody_is_itself_the_client() -> None:
    assert client_behind("127.0.0.1", [], LOCAL) == "127.0.0.1"


@given(st.lists(st.ip_addresses(), max_size=6))
def test_the_client_is_the_peer_or_one_of_the_hops(
    hops: list[ipaddress.IPv4Address | ipaddress.IPv6Address],
) -> None:
    client = client_behind("127.0.0.1", [", ".join(map(str, hops))] if hops else [], INNER)
    assert client in {"127.0.0.1", *(canonical_ip(str(hop)) for hop in hops)}


# I06 I09
@pytest.mark.parametrize(
    "proxies", [["*"], ["0.0.0.0/0"], ["::/0"], ["localhost"], ["10.0.0.1/8"], [""], ["10.0.0.1", "*"], "127.0.0.1"]
)
def test_trusting_everybody_or_nobody_in_particular_stops_the_start(proxies: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        trusted_networks(proxies)
