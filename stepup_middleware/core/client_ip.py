"""The client's address in one spelling, and which proxies are believed about it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from stepup_middleware.errors import ConfigurationError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAX_HOPS = 32  # elements of X-Forwarded-For that are looked at, from the right
_LONGEST = 64  # characters: 45 of an address and the zone behind it
_LONGEST_HOP = _LONGEST + 10  # brackets, quotes and a port besides
_WIDEST = {4: 8, 6: 7}  # bits of a prefix: 10.0.0.0/8 and fc00::/7 are the widest that one network is made of
# what load balancers write: 192.0.2.7, 192.0.2.7:5070, 2001:db8::7, [2001:db8::7] and [2001:db8::7]:5070
_HOP = re.compile(
    r"(?:(?P<v4>[0-9.]+)|\[(?P<bracketed>[^\[\]]+)\])(?::(?:(?P<port>[0-9]{1,5})|_[\w.-]+))?|(?P<bare>[^\[\]]+)",
    re.ASCII,
)
# an element of Forwarded is cut from the next by a comma outside of quotes (RFC 7239 §4, RFC 9110 §5.6.4)
_ELEMENTS = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")*(?:,|\Z)', re.DOTALL)
_PAIR = r'[!#$%&\'*+.^_`|~0-9A-Za-z-]+=(?:"(?:[^"\\]|\\.)*"|[^\s"\\;,]*)'
_PAIRS = re.compile(rf"{_PAIR}(?:[ \t]*;[ \t]*{_PAIR})*(?:[ \t]*;)?", re.DOTALL)
_FOR = re.compile(r'for=(?:"((?:[^"\\]|\\.)*)"|(.*))', re.DOTALL | re.IGNORECASE)
_UNREADABLE = '"'  # no address: an element, or a line, that cannot be read


def canonical_ip(text: str) -> str | None:
    """Return the one spelling of an address, or None for text that is not an address.

    IPv4-mapped IPv6 is the IPv4 address it carries (RFC 4291 §2.5.5.2); 6to4, NAT64 and IPv4-compatible
    forms stay what they are. A zone id names a local interface and is dropped (RFC 4007 §11).
    """
    return _canonical_ip(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=4096)  # a person asks many times from one address
def _canonical_ip(text: str) -> str | None:
    number, percent, zone = text.partition("%")
    try:
        address = ipaddress.ip_address(number)
    except ValueError:
        return None
    if percent and (not zone or address.version == 4):
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.compressed


def address_of_hop(text: str) -> str | None:
    """Return the address in what a proxy or server says of a client, in its one spelling; None when there is none.

    A port behind it is dropped, also an obfuscated one, as are the brackets and the quotes around IPv6 (RFC 7239 §6).
    ``unknown`` and obfuscated names (RFC 7239 §6.2, §6.3) are no addresses.
    """
    text = text[: _LONGEST_HOP + 1].strip(" \t")
    if len(text) > _LONGEST_HOP:
        return None
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    hop = _HOP.fullmatch(text)
    if hop is None or int(hop["port"] or 0) > 65535:
        return None
    address = canonical_ip(hop["v4"] or hop["bracketed"] or hop["bare"])
    # brackets are around IPv6 alone
    return address if not hop["bracketed"] or ":" in hop["bracketed"] else None


def trusted_networks(proxies: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks of the named proxies. Raises ``ConfigurationError`` for ``*`` or a range of all."""
    if isinstance(proxies, str | bytes):
        raise ConfigurationError(f"trusted_proxies is a list of addresses or networks: write [{proxies!r}]")
    return tuple(_network(name) for name in proxies)


def _network(name: object) -> Network:
    if not isinstance(name, str | ipaddress.IPv4Network | ipaddress.IPv6Network):
        raise ConfigurationError(f'trusted_proxies has addresses or networks as text, such as "10.0.0.1": {name!r}')
    number, slash, bits = str(name).partition("/")
    text = number.partition("%")[0] + slash + bits  # a zone id is dropped, as it is of addresses
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigurationError(
            f"trusted proxies are named by address or network, not {name!r}: whoever may set "
            "X-Forwarded-For may pretend to be anyone"
        ) from None
    if slash and ipaddress.ip_interface(text).ip != network.network_address:
        raise ConfigurationError(f"{name!r} is an address within a network: write {str(network)!r} for all of it")
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:
        network = ipaddress.IPv4Network((mapped, network.prefixlen - 96))  # as addresses are compared
    if network.prefixlen < _WIDEST[network.version]:
        raise ConfigurationError(f"{name!r} trusts the whole internet, or much of it, as a proxy: name your own")
    return network


def _trusted(address: str, networks: Sequence[Network]) -> bool:
    parsed = ipaddress.ip_address(address)
    return any(parsed.version == network.version and parsed in network for network in networks)


def client_behind(
    peer: str,
    forwarded: Sequence[str],
    networks: Sequence[Network],
    hops: Callable[[Sequence[str]], Iterator[str]] | None = None,
) -> str | None:
    """Return the client's address: the right-most hop that is not a trusted proxy.

    ``peer`` is the canonical address of the connection, ``forwarded`` the values of every header of the proxies in
    order, out of which ``hops`` reads (None: of ``X-Forwarded-For``). An untrusted peer is the client, whatever headers
    it sends. None, which refuses the request, when a trusted proxy names something that is not an address. Empty
    elements of the list say nothing (RFC 9110 §5.6.1.2).
    """
    if not _trusted(peer, networks):
        return peer
    current = peer
    for hop in (hops or hops_from_the_right)(forwarded):
        if not hop:
            continue
        address = address_of_hop(hop)
        if address is None:
            return None
        current = address
        if not _trusted(address, networks):
            break
    return current


def hops_from_the_right(forwarded_for: Sequence[str]) -> Iterator[str]:
    """Yield the elements of every ``X-Forwarded-For`` header from the last one on, at most 32, without blanks."""
    left = _MAX_HOPS
    for value in reversed(forwarded_for):
        for hop in value.rsplit(",", left)[: -left - 1 : -1]:
            yield hop.strip(" \t")
            left -= 1
        if not left:
            return


def forwarded_hops(forwarded: Sequence[str]) -> Iterator[str]:
    """Yield whom each element of every ``Forwarded`` header is for, from the last one on, at most 32 (RFC 7239 §4).

    An element without exactly one ``for``, or a line that cannot be taken apart, yields text that is no address, and
    so does everything left of a line that cannot be.
    """
    left = _MAX_HOPS
    for value in reversed(forwarded):
        elements = _elements(value)
        for element in reversed(elements):
            yield _whom(element)
            left -= 1
            if not left:
                return


def _elements(value: str) -> list[str]:
    """Return the elements of a line without blanks; of one whose quotes do not close, one that cannot be read."""
    found, at = [], 0
    while at <= len(value):
        element = _ELEMENTS.match(value, at)
        if element is None:
            return [_UNREADABLE]
        found.append(element[0].removesuffix(",").strip(" \t"))
        if not element[0].endswith(","):
            break
        at = element.end()
    return found


def _whom(element: str) -> str:
    """Return the value of the ``for`` of an element, without its quotes; empty for an empty element."""
    if not element:
        return ""
    pairs = re.findall(_PAIR, element, re.DOTALL) if _PAIRS.fullmatch(element) else []
    whom = [found for found in map(_FOR.fullmatch, pairs) if found]
    if len(whom) != 1:
        return _UNREADABLE
    quoted, plain = whom[0].groups()
    return (plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)) or _UNREADABLE


def within_prefix(address: str, bits: int) -> str:
    """Return the first address of the IPv6 network of so many bits that an address is in; of IPv4, the address."""
    if bits == 128 or ":" not in address:
        return address
    return ipaddress.ip_network((address, bits), strict=False).network_address.compressed
