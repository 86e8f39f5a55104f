"""Who asks: the relying party of WebAuthn L3 §4, from configuration alone.

No request header ever reaches these values (``Host`` and ``X-Forwarded-Host`` are the client's word).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from stepup_middleware.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """The relying party: ``id`` is its domain, ``name`` what the browser shows, ``origins`` where pages live.

    Each origin is ``scheme://host[:port]`` and is compared as exact text (WebAuthn L3 §13.4.9). Raises
    ``ConfigurationError`` for an IP address as id, an origin outside the id's domain, or plain http
    anywhere but on localhost.
    """

    id: str
    name: str
    origins: Sequence[str]

    def __post_init__(self) -> None:
        if not self.id or self.id != self.id.lower() or "/" in self.id or ":" in self.id:
            raise ConfigurationError(f"the relying-party id must be a lower-case domain: {self.id!r}")
        try:
            ipaddress.ip_address(self.id)
        except ValueError:
            pass
        else:
            raise ConfigurationError(
                f"the relying-party id must be a domain, browsers refuse an IP address: {self.id!r}"
            )
        if isinstance(self.origins, str) or not self.origins:
            raise ConfigurationError("origins must be a non-empty list of scheme://host[:port]")
        object.__setattr__(self, "origins", tuple(self.origins))
        for origin in self.origins:
            self._check_origin(origin)

    def _check_origin(self, origin: str) -> None:
        parts = urlsplit(origin)
        host = parts.hostname or ""
        if origin != f"{parts.scheme}://{parts.netloc}" or origin != origin.lower() or parts.username:
            raise ConfigurationError(f"an origin is scheme://host[:port] in lower case: {origin!r}")
        if host != self.id and not host.endswith("." + self.id):
            raise ConfigurationError(f"origin {origin!r} is outside the relying-party id {self.id!r}")
        local = host == "localhost" or host.endswith(".localhost")
        if parts.scheme != "https" and not (parts.scheme == "http" and local):
            raise ConfigurationError(f"origin {origin!r} must be https (http is for localhost only)")

    @property
    def secure(self) -> bool:
        """Whether every origin is https, so that cookies may carry ``Secure``."""
        return all(origin.startswith("https://") for origin in self.origins)
