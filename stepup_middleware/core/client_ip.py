"""The client's address in one spelling, and whose word about it counts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

from stepup_middleware.errors import ConfigurationError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAX_HOPS = 32
_LONGEST = 64  # characters: 45 of an address and the zone behind it


def canonical_ip(text: str) -> str | None:
    """Return the one spelling of an address, or None when it is none.

    IPv4-mapped IPv6 is the IPv4 address it carries (RFC 4291 §2.5.5.2); 6to4, NAT64 and IPv4-compatible
    forms stay what they are. A zone id names a local interface and is dropped.
    """
    return _canonical_ip(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=4096)  # a person asks many times from one address
def _canonical_ip(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.compressed


def trusted_networks(proxies: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks of the named proxies. Raises ``ConfigurationError`` for ``*`` or a range of all."""
    networks = []
    if isinstance(proxies, str):
        raise ConfigurationError("trusted_proxies is a list of addresses or networks")
    for name in proxies:
        try:
            network = ipaddress.ip_network(name)
        except ValueError:
            raise ConfigurationError(
                f"trusted proxies are named by address or network, not {name!r}: whoever may set "
                "X-Forwarded-For may pretend to be anyone"
            ) from None
        if network.prefixlen == 0:
            raise ConfigurationError(f"{name!r} trusts the whole internet as a proxy")
        networks.append(network)
    return tuple(networks)


def _trusted(address: str, networks: Sequence[Network]) -> bool:
    parsed = ipaddress.ip_address(address)
    return any(parsed.version == network.version and parsed in network for network in networks)


def client_behind(peer: str, forwarded_for: Sequence[str], networks: Sequence[Network]) -> str | None:
    """Return the client's address: the right-most hop that no trusted proxy vouches away.

    ``peer`` is the canonical address of the connection, ``forwarded_for`` the values of every
    ``X-Forwarded-For`` header in order. An untrusted peer is the client whatever it claims. None (so:
    closed) when a trusted proxy hands over something that is no address.
    """
    if not _trusted(peer, networks):
        return peer
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
    current = peer
    for hop in reversed(hops[-_MAX_HOPS:]):
        address = canonical_ip(hop)
        if address is None:
            return None
        current = address
        if not _trusted(address, networks):
            break
    return current
