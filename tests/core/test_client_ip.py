"""The client's address in one spelling, and whose word about it counts."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.client_ip import (
    address_of_hop,
    canonical_ip,
    client_behind,
    forwarded_hops,
    hops_from_the_right,
    trusted_networks,
    within_prefix,
)
from stepup_middleware.errors import ConfigurationError
from tests.machine import growth

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
        "1.2.3.4%eth0",
        "fe80::1%",
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


# what load balancers are known to write for a client's address
def spelt(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> list[str]:
    if address.version == 4:
        return [
            f"{address}",
            f"{address}:{port}",
            f"{address}:_gazonk",
            f"::ffff:{address}",
            f"[::ffff:{address}]:{port}",
            f'"{address}"',
        ]
    forms = [f"{address}", address.exploded, str(address).upper(), f"{address}%eth0"]
    bracketed = [f"[{form}]{end}" for form in forms for end in ("", f":{port}", ":_p-1")]
    return [*forms, *bracketed, *(f'"{form}"' for form in bracketed), f"[{address}%25eth0]:{port}"]


@given(
    st.ip_addresses(),
    st.integers(0, 65535),
    st.lists(st.sampled_from(["", " ", "\t", "10.0.0.9", "10.0.0.9:443", "[fd00::7]:80"]), max_size=6),
    st.lists(st.text(st.characters(codec="latin-1"), max_size=20), max_size=4),
    st.data(),
)
def test_an_address_counts_in_every_spelling_whatever_stands_left_and_what_is_empty(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    port: int,
    right: list[str],
    left: list[str],
    data: st.DataObject,
) -> None:
    one = canonical_ip(str(address))
    assert one is not None
    if any(ipaddress.ip_address(one) in network for network in INNER if network.version == address.version):
        return
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return
    spelling = data.draw(st.sampled_from(spelt(address, port)))
    blank = data.draw(st.sampled_from(["", " ", "  ", "\t"]))
    hops = [*left, f"{blank}{spelling}{blank}", *right]
    cut = data.draw(st.integers(0, len(hops) - 1))
    lines = [",".join(hops[:cut]), ", ".join(hops[cut:])] if cut else [",".join(hops)]
    assert client_behind("127.0.0.1", lines, INNER) == one


@given(st.text("0123456789abcdefABCDEF.:[]%\"' _", max_size=40))
def test_what_is_read_out_of_a_hop_is_an_address_that_stands_in_it(text: str) -> None:
    address = address_of_hop(text)
    if address is not None:
        assert canonical_ip(address) == address
        inside = re.sub(r'^\s*"?\[?|\]?(:(\d+|_[\w.-]+))?"?\s*$', "", text)
        assert address in {canonical_ip(inside), canonical_ip(text.strip(" \t").strip('"'))}


# I07
@pytest.mark.parametrize(
    "hop",
    [
        "a",
        "<script>",
        "unknown",
        "_hidden",
        "_SEVKISEK:80",
        "1.2.3.4:",
        "1.2.3.4:65536",
        "1.2.3.4:080800",
        "1.2.3.4:http",
        "1.2.3.4:\u0661",
        "1.2.3.4:80:80",
        "[1.2.3.4]",
        "[1.2.3.4]:80",
        "[::1",
        "::1]",
        "[::1]80",
        "[[::1]]",
        "[]",
        "[]:80",
        ":80",
        '"',
        '""',
        '"1.2.3.4',
        "'1.2.3.4'",
        "for=1.2.3.4",
        "1.2.3.4;proto=https",
        "1.2.3.4/32",
        "2001:db8:0:0:0:0:0:1:443",
        "1" * 200,
    ],
)
def test_a_hop_that_is_no_address_closes_where_it_counts(hop: str) -> None:
    assert client_behind("127.0.0.1", [hop], LOCAL) is None
    assert client_behind("127.0.0.1", [f"6.6.6.6, {hop}"], LOCAL) is None
    assert client_behind("127.0.0.1", [f"6.6.6.6, {hop}, 10.0.0.1, ,"], INNER) is None
    assert client_behind("127.0.0.1", [f"{hop}, 6.6.6.6"], LOCAL) == "6.6.6.6"


# RFC 9110 §5.6.1.2: a recipient ignores empty elements
@pytest.mark.parametrize(
    "claims", [["6.6.6.6,"], ["6.6.6.6", ""], [", 6.6.6.6"], [",,6.6.6.6, ,"], ["", "", "6.6.6.6"]]
)
def test_an_empty_element_says_nothing(claims: list[str]) -> None:
    assert client_behind("127.0.0.1", claims, LOCAL) == "6.6.6.6"


@pytest.mark.parametrize("claims", [[""], [","], [" , ,\t"], ["", ""]])
def test_a_list_of_nothing_is_no_list(claims: list[str]) -> None:
    assert client_behind("127.0.0.1", claims, LOCAL) == "127.0.0.1"


@given(st.lists(st.lists(st.text("1,. ", max_size=30), max_size=3).map(",".join), max_size=40))
def test_at_most_32_elements_are_looked_at_from_the_right(lines: list[str]) -> None:
    everything = [hop.strip(" ") for line in lines for hop in line.split(",")]
    assert list(hops_from_the_right(lines)) == everything[::-1][:32]


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


@given(st.ip_addresses(v=4), st.integers(8, 32))
def test_a_network_of_ipv4_mapped_addresses_is_the_ipv4_network(address: ipaddress.IPv4Address, bits: int) -> None:
    network = ipaddress.ip_network((address, bits), strict=False)
    mapped = f"::ffff:{network.network_address}/{96 + bits}"
    assert trusted_networks([mapped]) == trusted_networks([str(network)]) == (network,)


def test_a_proxy_named_as_an_ipv4_mapped_address_or_with_a_zone_is_trusted() -> None:
    mapped = trusted_networks(["::ffff:10.0.0.1"])
    assert client_behind("10.0.0.1", ["7.7.7.7"], mapped) == "7.7.7.7"
    assert client_behind("10.0.0.1", ["7.7.7.7, ::ffff:10.0.0.1"], mapped) == "7.7.7.7"
    assert client_behind("10.0.0.2", ["7.7.7.7"], mapped) == "10.0.0.2"
    assert client_behind("fe80::1", ["7.7.7.7"], trusted_networks(["fe80::1%eth0"])) == "7.7.7.7"


@pytest.mark.parametrize(
    ("proxies", "advice"),
    [
        ("10.0.0.1", r"write \['10.0.0.1'\]"),
        (b"10.0.0.1", "a list"),
        ([10], "as text"),
        ([None], "as text"),
        (["10.0.0.1/8"], "write '10.0.0.0/8'"),
        (["10.0.0.1, 10.0.0.2"], "by address or network"),
        (["*"], "by address or network"),
        (["0.0.0.0/1", "128.0.0.0/1"], "name your own"),
        (["::ffff:0:0/96"], "name your own"),
        (["2000::/3"], "name your own"),
    ],
)
def test_what_is_wrong_with_a_list_of_proxies_is_said_with_what_to_write(proxies: Any, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        trusted_networks(proxies)


# I06 I09
@pytest.mark.parametrize(
    "proxies", [["*"], ["0.0.0.0/0"], ["::/0"], ["localhost"], ["10.0.0.1/8"], [""], ["10.0.0.1", "*"], "127.0.0.1"]
)
def test_trusting_everybody_or_nobody_in_particular_stops_the_start(proxies: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        trusted_networks(proxies)


def forwarded(*lines: str, networks: Any = LOCAL) -> str | None:
    return client_behind("127.0.0.1", lines, networks, forwarded_hops)


# RFC 7239 §4, §7.4: the examples of the text, and what proxies are known to write
# I06
@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["for=192.0.2.60;proto=http;by=203.0.113.43"], "192.0.2.60"),
        (['For="[2001:db8:cafe::17]:4711"'], "2001:db8:cafe::17"),
        (["for=192.0.2.43, for=198.51.100.17"], "198.51.100.17"),
        (["for=192.0.2.43,for=198.51.100.17;by=203.0.113.60;proto=http;host=example.com"], "198.51.100.17"),
        (['for="192.0.2.43:47011";by="[::1]";'], "192.0.2.43"),
        (["by=203.0.113.43 ; FOR=192.0.2.60"], "192.0.2.60"),
        (["for=192.0.2.43:4711"], "192.0.2.43"),
        (["for=[2001:db8::1]"], "2001:db8::1"),
        ([r'for="192\.0.2.60"'], "192.0.2.60"),
        (['host="a,b;for=6.6.6.6";for=192.0.2.60'], "192.0.2.60"),
        (["for=6.6.6.6", "for=192.0.2.60"], "192.0.2.60"),
        (["for=192.0.2.60, ,", " , "], "192.0.2.60"),
        (["<script>, for=192.0.2.60"], "192.0.2.60"),
        (['for="6.6.6.6', "for=192.0.2.60"], "192.0.2.60"),
        ([], "127.0.0.1"),
        ([""], "127.0.0.1"),
        (["for=unknown"], None),
        (['for="_gazonk"'], None),
        (["proto=https"], None),
        (["192.0.2.60"], None),
        (["for=192.0.2.60;for=6.6.6.6"], None),
        (["for=192.0.2.60;FOR=192.0.2.60"], None),
        (["for = 192.0.2.60"], None),
        (["for=192.0.2.60 by=1"], None),
        (["for=192.0.2.60;;"], None),
        (["for='192.0.2.60'"], None),
        (['for=""'], None),
        (["for="], None),
        (['for="192.0.2.60'], None),
        (['for="192.0.2.60"x'], None),
        (['x"y;for=192.0.2.60'], None),
    ],
)
def test_forwarded_names_the_client_as_rfc_7239_has_it_and_closes_otherwise(
    lines: list[str], client: str | None
) -> None:
    assert forwarded(*lines) == client


def quoted(text: str, escapes: list[bool]) -> str:
    marks = (escapes * (len(text) + 1))[: len(text)] if escapes else [False] * len(text)
    return '"' + "".join("\\" + c if c in '"\\' or mark else c for c, mark in zip(text, marks, strict=True)) + '"'


# I06 I07: what a client writes stands left of what the proxy appends, in the same line or in another
@given(
    st.text(st.characters(codec="latin-1"), max_size=40) | st.text('",;=\\ for1.', max_size=20),
    st.ip_addresses(),
    st.sampled_from(["{}", '"{}"', '"{}:80"']),
    st.sampled_from(["for={}", "by=10.0.0.1;for={}", 'for={};host="a.example";proto=https', "for={};"]),
    st.booleans(),
)
def test_nothing_that_a_client_writes_left_of_its_proxy_makes_it_another(
    left: str,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    spelling: str,
    element: str,
    in_one_line: bool,
) -> None:
    one = canonical_ip(str(address))
    text = f"[{address}]" if address.version == 6 else str(address)
    if address.version == 6 and spelling == "{}":
        spelling = '"{}"'
    if one is None or one == "127.0.0.1":
        return
    appended = element.format(spelling.format(text))
    lines = [f"{left}, {appended}"] if in_one_line else [left, appended]
    # a quote that the client left open closes nothing but its own request
    assert forwarded(*lines) in ({one, None} if in_one_line else {one})
    if '"' not in left:
        assert forwarded(*lines) == one


@given(st.lists(st.tuples(st.text(max_size=12), st.lists(st.booleans(), max_size=3)), min_size=1, max_size=5))
def test_a_quoted_text_is_read_as_it_was_meant(values: list[tuple[str, list[bool]]]) -> None:
    line = ", ".join(f"for={quoted(text, escapes)}" for text, escapes in values)
    assert list(forwarded_hops([line])) == [text or '"' for text, _ in reversed(values)]


@given(st.lists(st.text('for=,;" \\1.[]', max_size=60), max_size=40))
def test_no_text_of_forwarded_raises_and_at_most_32_elements_are_looked_at(lines: list[str]) -> None:
    assert len(list(forwarded_hops(lines))) <= 32


@pytest.mark.parametrize(("text", "again"), [("", '"'), ('for="', "\\"), ("", "for=1;"), ("", 'a"b'), ("", ";")])
def test_a_line_of_forwarded_takes_as_long_as_it_is(text: str, again: str) -> None:
    assert growth(lambda times: forwarded(text + again * times), 15_000 // len(again)) < 8


# I03
@given(st.ip_addresses(v=6), st.integers(48, 128))
def test_addresses_of_one_network_are_one_where_the_app_says_so(address: ipaddress.IPv6Address, bits: int) -> None:
    one = canonical_ip(str(address))
    assert one is not None
    first = within_prefix(one, bits)
    if ":" not in one:
        assert first == one
        return
    network = ipaddress.ip_network((first, bits))
    assert address in network
    assert {within_prefix(str(network[0]), bits), within_prefix(str(network[-1]), bits)} == {first}
    assert within_prefix(one, 128) == one
    if bits > 1 and int(network.broadcast_address) < 2**128 - 1:
        assert within_prefix(str(network.broadcast_address + 1), bits) != first
