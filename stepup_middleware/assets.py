"""The bundled assets: found beside the package or in a checkout, scripts joined of their modules, named by content."""

from __future__ import annotations

import re
import zlib
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

FILES = ("htmx.min.js", "stepup.css", "receipt.css")
SCRIPTS = ("stepup.js", "page.js", "factors.js")  # each joined of the module of that name and what it imports
NAMES = FILES + SCRIPTS
_MEDIA_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}


def static_dir() -> Traversable:
    """Return the folder of the assets: inside the installed package, or at the top of a checkout."""
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


IMPORT = re.compile(r'^import \{ [\w, ]+ \} from "\./([a-z0-9]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|class|function|async function) )", re.MULTILINE)
_BLOCK_COMMENT = re.compile(r"/\*(?:(?!\*/).)*\*/[ \t]*", re.DOTALL)
_LINE_COMMENT = re.compile(r"(?:^|(?<=[;{},)]))[ \t]*// .*$", re.MULTILINE)
_INDENT_OR_EMPTY = re.compile(r"^\s+", re.MULTILINE)


def joined(entry: str, folder: Traversable) -> bytes:
    """Join a module and what it imports into one classic script, each module once, after those that it needs.

    There is no build step: the modules keep to a few rules (``tests/static``) under which this is all it takes.
    Imports stand in a line each, by name; what is exported is a declaration; no two modules declare the same name; no
    comment's mark stands in a string and no text goes over several lines. Comments and indentation are left out.
    """
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        source = folder.joinpath(name).read_text(encoding="utf-8")
        for needed in IMPORT.findall(source):
            if needed not in parts:
                add(needed)
        parts[name] = _EXPORT.sub("", IMPORT.sub("", source))

    add(entry)
    body = "".join(parts.values())
    for noise in (_BLOCK_COMMENT, _LINE_COMMENT, _INDENT_OR_EMPTY):
        body = noise.sub("", body)
    return f'(() => {{\n"use strict";\n{body}}})();\n'.encode()


@cache
def bundled() -> dict[str, Asset]:
    """Return the assets by their plain names. Read once."""
    folder = static_dir()
    contents = {name: folder.joinpath(name).read_bytes() for name in FILES}
    contents |= {name: joined(name, folder.joinpath("src")) for name in SCRIPTS}
    return {name: Asset(name, contents[name]) for name in NAMES}


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
