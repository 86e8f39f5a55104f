"""The client's address in one spelling, and which proxies are believed about it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from stepup_middleware.errors import ConfigurationError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAX_HOPS = 32  # elements of X-Forwarded-For that are looked at, from the right
_LONGEST = 64  # characters: 45 of an address and the zone behind it
_LONGEST_HOP = _LONGEST + 10  # brackets, quotes and a port besides
_WIDEST = {4: 8, 6: 7}  # bits of a prefix: 10.0.0.0/8 and fc00::/7 are the widest that one network is made of
# what load balancers write: 192.0.2.7, 192.0.2.7:5070, 2001:db8::7, [2001:db8::7] and [2001:db8::7]:5070
_HOP = re.compile(
    r"(?:(?P<v4>[0-9.]+)|\[(?P<bracketed>[^\[\]]+)\])(?::(?P<port>[0-9]{1,5}))?|(?P<bare>[^\[\]]+)", re.ASCII
)


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

    A port behind it is dropped, as are the brackets and the quotes that RFC 7239 §6 puts around IPv6.
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


def client_behind(peer: str, forwarded_for: Sequence[str], networks: Sequence[Network]) -> str | None:
    """Return the client's address: the right-most hop that is not a trusted proxy.

    ``peer`` is the canonical address of the connection, ``forwarded_for`` the values of every
    ``X-Forwarded-For`` header in order. An untrusted peer is the client, whatever headers it sends. None, which refuses
    the request, when a trusted proxy names something that is not an address. Empty elements of the list say nothing
    (RFC 9110 §5.6.1.2).
    """
    if not _trusted(peer, networks):
        return peer
    current = peer
    for hop in hops_from_the_right(forwarded_for):
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
