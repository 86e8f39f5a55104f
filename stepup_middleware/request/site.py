"""From where a browser says that a request comes: whether it may ask, and whether it is a navigation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum, auto
from typing import Any
from urllib.parse import urlsplit

from stepup_middleware.asgi import first_values, header

from .bound_headers import hyphened, overrides_method

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 §9.2.1


class Standing(Enum):
    """What a request may do.

    ``LINKED``: a page elsewhere led here, perhaps without a click, so its prompts have a lower limit.
    ``PREFETCH``: nobody clicked, so it neither asks nor spends a token. ``FOREIGN``: it comes from a page of another
    origin and is refused.
    """

    OPEN = auto()
    LINKED = auto()
    PREFETCH = auto()
    FOREIGN = auto()


def standing_of(scope: Mapping[str, Any], method: str, origins: Collection[str]) -> Standing:
    """Return whether a request may ask for a proof, by what the browser says of where it comes from.

    ``method`` is the one that came, ``origins`` are those of the relying party. A request of another origin is foreign:
    same-site siblings included, and a page of this very server under a name that nobody listed. A link on another page,
    or in a mail, may lead here. A request that does not say where it comes from is not a browser's, and is open (Fetch
    Metadata; RFC 6454 §7; RFC 9110 §10.1.3).
    """
    given = first_values(scope)
    site, origin = given.get(b"sec-fetch-site"), given.get(b"origin")
    safe = method in _SAFE and scope.get("method", "WEBSOCKET") in _SAFE and not _overrides(scope)
    if origin is not None:
        # a page of ours with Referrer-Policy: no-referrer is told by the other header alone (Fetch §3.2)
        if not _listed(origin, origins) and (origin != b"null" or site not in (b"same-origin", b"none")):
            return Standing.FOREIGN
    elif site in (b"cross-site", b"same-site"):
        return _link(scope) if safe else Standing.FOREIGN
    elif site is None:
        referer = given.get(b"referer")
        if referer is not None and not _listed(_origin_of(referer), origins):
            return _link(scope) if safe else Standing.FOREIGN
    return Standing.PREFETCH if method in ("GET", "HEAD") and _nobody_clicked(scope) else Standing.OPEN


def is_of_browser(scope: Mapping[str, Any]) -> bool:
    """Whether a browser sent it: each of today's says so in every request, by headers that no script of a page can set
    or leave out (Fetch Metadata).
    """
    return any(name.startswith(b"sec-fetch-") for name, _ in scope["headers"])


def is_navigation(scope: Mapping[str, Any]) -> bool:
    """Whether a browser is going to a page: a link or a native form, not a script and not htmx."""
    given = first_values(scope)
    if b"hx-request" in given:
        return False
    mode = given.get(b"sec-fetch-mode")
    if mode is not None:
        return mode == b"navigate"
    return b"text/html" in given.get(b"accept", b"")


def is_same_origin(scope: Mapping[str, Any], origins: Collection[str]) -> bool:
    """Whether the browser says that a request comes from a page of our own.

    Older browsers say so by ``Origin``, or for a link by ``Referer`` alone.
    """
    given = first_values(scope)
    site = given.get(b"sec-fetch-site")
    if site is not None:
        return site == b"same-origin"
    origin = given.get(b"origin")
    if origin is not None:
        return _listed(origin, origins)
    referer = given.get(b"referer")
    return referer is not None and _listed(_origin_of(referer), origins)


def _link(scope: Mapping[str, Any]) -> Standing:
    """A link of another page may lead here, at the top of a window; nothing else of another page may."""
    if not is_navigation(scope) or header(scope, b"sec-fetch-dest") not in (None, b"document"):
        return Standing.FOREIGN
    return Standing.PREFETCH if _nobody_clicked(scope) else Standing.LINKED


def _nobody_clicked(scope: Mapping[str, Any]) -> bool:
    """Whether it is a part of a page, or a page fetched in case that somebody goes there."""
    given = first_values(scope)
    if given.get(b"sec-fetch-dest") not in (None, b"document", b"empty"):
        return True
    purposes = (given.get(name, b"") for name in (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"))
    return any(b"prefetch" in purpose or b"prerender" in purpose for purpose in purposes)


def _overrides(scope: Mapping[str, Any]) -> bool:
    return any(overrides_method(hyphened(name)) for name, _ in scope["headers"])


def _listed(origin: bytes, origins: Collection[str]) -> bool:
    return origin.decode("latin-1") in origins


def _origin_of(url: bytes) -> bytes:
    """Return the origin of a URL, empty for what has none."""
    try:
        parts = urlsplit(url.decode("latin-1"))
        return f"{parts.scheme}://{parts.netloc}".encode("latin-1") if parts.netloc else b""
    except ValueError:
        return b""
