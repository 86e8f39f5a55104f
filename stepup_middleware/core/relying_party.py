"""Who asks: the relying party of WebAuthn L3 §4, from configuration alone.

No request header ever reaches these values (``Host`` and ``X-Forwarded-Host`` are the client's word).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stepup_middleware.errors import ConfigurationError

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_ORIGIN = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>\[[^\]/]*\]|[^/?#:@\[\]]+)(?::(?P<port>[^/?#@]*))?"
)
_DEFAULT_PORTS = {"https": 443, "http": 80}
MOST_RELATED_NAMES = 5  # different names that browsers look at, at least (WebAuthn L3 §5.11.1)
# Domains under which anybody can have a name, so that browsers refuse them as an id. The whole list
# (publicsuffix.org) grows by the week; these are the patterns and the hosts that people do write.
_SECOND_LEVELS = frozenset({"ac", "co", "com", "edu", "gov", "mil", "net", "org"})  # co.uk, com.au, ...
_SHARED_HOSTS = frozenset(
    {
        "amazonaws.com",
        "appspot.com",
        "azurewebsites.net",
        "cloudfront.net",
        "firebaseapp.com",
        "fly.dev",
        "github.io",
        "gitlab.io",
        "herokuapp.com",
        "netlify.app",
        "ngrok-free.app",
        "ngrok.app",
        "ngrok.io",
        "onrender.com",
        "pages.dev",
        "run.app",
        "trycloudflare.com",
        "vercel.app",
        "web.app",
        "workers.dev",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """The relying party: ``id`` is its domain, ``name`` what the browser shows, ``origins`` where pages live.

    Each origin is ``scheme://host[:port]`` as browsers write it, and is compared as exact text (WebAuthn L3
    §13.4.9). Raises ``ConfigurationError``, which says what to write instead, for an id that no page can have (an
    IP address, a public suffix), an origin outside the id's domain or in another spelling, a wildcard, or plain
    http anywhere but on localhost.

    ``related_origins`` are pages outside the id's domain that may use its passkeys too (WebAuthn L3 §5.11), such as
    ``https://example.co.uk`` for ``example.com``: browsers ask ``https://ID/.well-known/webauthn``, which the
    middleware serves where this app is that host. They count among ``origins``. At most five different names, as
    browsers look at no more.
    """

    id: str
    name: str
    origins: Sequence[str]
    related_origins: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_domain(self.id)
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigurationError(f'RelyingParty.name is what browsers show, such as "Payday": {self.name!r}')
        if isinstance(self.origins, str | bytes):
            raise ConfigurationError(f"origins is a list of scheme://host[:port]: write [{self.origins!r}]")
        if isinstance(self.related_origins, str | bytes):
            raise ConfigurationError(f"related_origins is a list of origins: write [{self.related_origins!r}]")
        related = tuple(self.related_origins)
        origins = tuple(origin for origin in self.origins or () if origin not in related)
        if not origins:
            raise ConfigurationError("origins must be a non-empty list of scheme://host[:port]")
        check_origins(self.id, origins)
        check_related_origins(self.id, related)
        object.__setattr__(self, "origins", origins + related)
        object.__setattr__(self, "related_origins", related)

    @property
    def secure(self) -> bool:
        """Whether every origin is https, so that cookies may carry ``Secure``."""
        return all(origin.startswith("https://") for origin in self.origins)


def check_domain(domain: object) -> None:
    """Raise ``ConfigurationError`` unless browsers can take this for a relying-party id (WebAuthn L3 §5.1.2)."""

    def refused(why: str) -> ConfigurationError:
        return ConfigurationError(
            f"the relying-party id must be a lower-case domain such as example.com, {why}: {domain!r}"
        )

    if not isinstance(domain, str):
        raise refused("as text")
    if not domain.isascii():
        raise refused("in its ASCII form (xn--...)")
    if "*" in domain:
        raise refused("without a wildcard: it stands for every host below it already")
    if not _DOMAIN.fullmatch(domain):
        found = _ORIGIN.match(domain)
        bare = (found["host"] if found else domain.partition(":")[0].partition("/")[0]).strip(" .").lower()
        raise refused(f"write {bare!r}" if _DOMAIN.fullmatch(bare) else "with nothing around it")
    labels = domain.split(".")
    if labels[-1].isdigit() or re.fullmatch(r"0x[0-9a-f]*", labels[-1]):  # as URLs are read (WHATWG URL §3.5)
        raise refused("not an IP address, which browsers refuse")
    if domain == "localhost":
        return
    if len(labels) == 1:
        raise refused("not a single label, which is a public suffix or a name of one network alone")
    if domain in _SHARED_HOSTS or (len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _SECOND_LEVELS):
        raise refused("not a public suffix, under which strangers have names too: add your own name in front")


def check_origins(domain: str, origins: Sequence[str]) -> None:
    """Raise ``ConfigurationError`` unless each origin is one of a browser's, within the domain, and no other's twin."""
    seen: set[str] = set()
    for origin in origins:
        _check_origin(domain, origin)
        if origin in seen:
            raise ConfigurationError(f"origin {origin!r} is listed twice")
        seen.add(origin)


def is_within(domain: str, origin: str) -> bool:
    """Whether the host of an origin is the domain or below it."""
    host = origin.partition("://")[2].partition(":")[0]
    return host == domain or (host.endswith("." + domain) and _DOMAIN.fullmatch(host) is not None)


def check_related_origins(domain: str, origins: Sequence[str]) -> None:
    """Raise ``ConfigurationError`` unless browsers can take these for related origins (WebAuthn L3 §5.11.1)."""
    names = set()
    for number, origin in enumerate(origins):
        host = _written_host(origin)
        if not origin.startswith("https://"):
            raise ConfigurationError(f"the related origin {origin!r} must be https")
        if is_within(domain, origin):
            raise ConfigurationError(f"{origin!r} is within {domain!r}: list it in origins, not in related_origins")
        try:
            check_domain(host)
        except ConfigurationError:
            raise ConfigurationError(f"the related origin {origin!r} has no domain of its own") from None
        if origin in origins[:number]:
            raise ConfigurationError(f"the related origin {origin!r} is listed twice")
        names.add(_registrable_label(host))
    if len(names) > MOST_RELATED_NAMES:
        raise ConfigurationError(
            f"related_origins have {len(names)} different names ({', '.join(sorted(names))}), and browsers look at "
            f"{MOST_RELATED_NAMES} at most (WebAuthn L3 §5.11.1)"
        )


def _registrable_label(host: str) -> str:
    """Return the name in front of the public suffix, as far as it is known here: that of example.co.uk is example."""
    labels = host.split(".")
    for length in range(1, len(labels)):
        suffix = ".".join(labels[-length:])
        second = length == 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVELS
        if suffix not in _SHARED_HOSTS and length > 1 and not second:
            return labels[-length]
    return labels[0]


def _check_origin(domain: str, origin: str) -> None:
    host = _written_host(origin)
    if not is_within(domain, origin):
        raise ConfigurationError(f"origin {origin!r} is outside the relying-party id {domain!r}")
    local = host == "localhost" or host.endswith(".localhost")
    if not (origin.startswith("https://") or (origin.startswith("http://") and local)):
        raise ConfigurationError(f"origin {origin!r} must be https (http is for localhost only)")


def _written_host(origin: object) -> str:
    """Return the host of an origin. Raises ``ConfigurationError`` unless it is written as browsers write it."""
    if not isinstance(origin, str):
        raise ConfigurationError(f"origins are text, scheme://host[:port]: {origin!r}")
    if "*" in origin:
        raise ConfigurationError(f"origin {origin!r} has a wildcard: list each origin by itself")
    if "@" in origin:
        raise ConfigurationError(f"an origin is scheme://host[:port], without a user: {origin!r}")
    parts = _ORIGIN.match(origin)
    if parts is None:
        raise ConfigurationError(f"an origin is scheme://host[:port], such as https://example.com: {origin!r}")
    scheme, host, port = parts["scheme"].lower(), parts["host"].lower(), parts["port"]
    if not origin.isascii():
        raise ConfigurationError(f"origin {origin!r} must be in its ASCII form (xn--...), as browsers send it")
    if port is not None and not (port.isdigit() and 0 < int(port[:6]) < 65536):
        raise ConfigurationError(f"origin {origin!r} has no port between 1 and 65535")
    shown = "" if port is None or int(port) == _DEFAULT_PORTS.get(scheme) else f":{int(port)}"
    written = f"{scheme}://{host}{shown}"
    if origin != written:
        raise ConfigurationError(
            f"an origin is scheme://host[:port] in lower case, without a default port, a path or a slash at its end: "
            f"write {written!r} for {origin!r}"
        )
    return host
