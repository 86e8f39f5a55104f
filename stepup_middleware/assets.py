"""The bundled assets: found beside the package or in a checkout, named by their content."""

from __future__ import annotations

import zlib
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

NAMES = ("htmx.min.js", "stepup.js", "stepup.css", "factors.js", "receipt.css")
_MEDIA_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}


def static_dir() -> Traversable:
    """Return the folder of the assets: inside the installed package, or at the top of a checkout."""
    from importlib.resources import files

    package = files("stepup_middleware")
    inside = package.joinpath("static")
    return inside if inside.is_dir() else package.joinpath("..", "static")


class Asset:
    """One file: its bytes, plain and by gzip, its media type and its hashed name such as ``stepup.1a2b3c4d5e.js``."""

    __slots__ = ("content", "gzipped", "hashed_name", "media_type", "name")

    def __init__(self, name: str, content: bytes) -> None:
        stem, _, suffix = name.rpartition(".")
        self.name = name
        self.content = content
        self.gzipped = zlib.compress(content, level=9, wbits=31)  # in the format of gzip, without a time
        self.media_type = _MEDIA_TYPES[suffix]
        self.hashed_name = f"{stem}.{sha256(content).hexdigest()[:16]}.{suffix}"


@cache
def bundled() -> dict[str, Asset]:
    """Return the assets by their plain names. Read once."""
    folder = static_dir()
    return {name: Asset(name, folder.joinpath(name).read_bytes()) for name in NAMES}


@cache
def by_hashed_name() -> dict[str, Asset]:
    """Return the assets by their hashed names."""
    return {asset.hashed_name: asset for asset in bundled().values()}


def asset_urls(base: str) -> dict[str, str]:
    """Return the URL of each asset by its plain name. ``base`` is the prefix, after any root path."""
    return {name: f"{base}/static/{asset.hashed_name}" for name, asset in bundled().items()}


def head(base: str, *, htmx: bool = True) -> str:
    """Return the tags for a page's head: the stylesheet, htmx if wanted, and the script."""
    urls = asset_urls(base)
    scripts = ("htmx.min.js", "stepup.js") if htmx else ("stepup.js",)
    return "\n".join(
        (
            f'<link rel="stylesheet" href="{urls["stepup.css"]}">',
            *(f'<script src="{urls[name]}" defer></script>' for name in scripts),
        )
    )
