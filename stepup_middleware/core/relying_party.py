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
    """

    id: str
    name: str
    origins: Sequence[str]

    def __post_init__(self) -> None:
        check_domain(self.id)
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigurationError(f'RelyingParty.name is what browsers show, such as "Payday": {self.name!r}')
        if isinstance(self.origins, str | bytes):
            raise ConfigurationError(f"origins is a list of scheme://host[:port]: write [{self.origins!r}]")
        origins = tuple(self.origins or ())
        if not origins:
            raise ConfigurationError("origins must be a non-empty list of scheme://host[:port]")
        check_origins(self.id, origins)
        object.__setattr__(self, "origins", origins)

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


def _check_origin(domain: str, origin: object) -> None:
    if not isinstance(origin, str):
        raise ConfigurationError(f"origins are text, scheme://host[:port]: {origin!r}")
    if "*" in origin:
        raise ConfigurationError(f"origin {origin!r} has a wildcard: list each origin by itself")
    if "@" in origin:
        raise ConfigurationError(f"an origin is scheme://host[:port], without a user: {origin!r}")
    parts = _ORIGIN.match(origin)
    if parts is None:
        raise ConfigurationError(f"an origin is scheme://host[:port], such as https://{domain}: {origin!r}")
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
    if host != domain and not (host.endswith("." + domain) and _DOMAIN.fullmatch(host)):
        raise ConfigurationError(f"origin {origin!r} is outside the relying-party id {domain!r}")
    local = host == "localhost" or host.endswith(".localhost")
    if scheme != "https" and not (scheme == "http" and local):
        raise ConfigurationError(f"origin {origin!r} must be https (http is for localhost only)")
