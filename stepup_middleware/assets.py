"""The bundled assets: found beside the package or in a checkout, scripts joined of their modules, named by content."""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from functools import cache
from hashlib import sha256, sha384
from importlib.resources import files
from string import ascii_letters
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

FILES = ("htmx.min.js", "stepup.css", "pages.css", "receipt.css")
SCRIPTS = (
    "stepup.js",
    "page.js",
    "factorspage.js",
    "peoplepage.js",
    "batch.js",
)  # each joined of the module of that name and what it imports
NAMES = FILES + SCRIPTS
STABLE = (
    "stepup.js",
    "stepup.css",
    "factorspage.js",
    "batch.js",
)  # served also under their plain names, for pages that are not made here
_MEDIA_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}


def static_dir() -> Traversable:
    """Return the folder of the assets: inside the installed package, or at the top of a checkout."""
    package = files("stepup_middleware")
    inside = package.joinpath("static")
    return inside if inside.is_dir() else package.joinpath("..", "static")


class Asset:
    """One file: its bytes, plain and by gzip, media type, integrity, and hashed name like ``stepup.1a2b3c.js``."""

    __slots__ = ("content", "gzipped", "hashed_name", "integrity", "media_type", "name")

    def __init__(self, name: str, content: bytes) -> None:
        stem, _, suffix = name.rpartition(".")
        self.name = name
        self.content = content
        self.gzipped = zlib.compress(content, level=9, wbits=31)  # in the format of gzip, without a time
        self.media_type = _MEDIA_TYPES[suffix]
        self.hashed_name = f"{stem}.{sha256(content).hexdigest()[:16]}.{suffix}"
        self.integrity = "sha384-" + b64encode(sha384(content).digest()).decode()  # Subresource Integrity §3.1


IMPORT = re.compile(r'^import \{ [\w, ]+ \} from "\./([a-z0-9]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|class|function|async function) )", re.MULTILINE)
_BLOCK_COMMENT = re.compile(r"/\*(?:(?!\*/).)*\*/[ \t]*", re.DOTALL)
_LINE_COMMENT = re.compile(r"(?:^|(?<=[;{},)]))[ \t]*// .*$", re.MULTILINE)
_INDENT_OR_EMPTY = re.compile(r"^\s+", re.MULTILINE)
_TEXT = re.compile(r"""("(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`)""")
_AROUND_MARKS = re.compile(r" ?([{}();,=+?:<>&|!\[\]]) ?")
_NEEDLESS_END = re.compile(
    r"(?<=[;,{}(=>&|?:+])\n|\n(?=[.?:&|)}])"
)  # of a line; a statement ends with its mark or brace
_PRIVATE = re.compile(r"#([a-zA-Z]\w*)")  # a class's own; node refuses one that is not declared
_CONST = re.compile(r"\bconst\b")  # checked where it is written
_BEFORE_END = re.compile(r"[;,]?\n?(?=\})")  # what a block or a literal may end without
_ONLY_ARGUMENT = re.compile(r"(?<![\w$])\((\w+)\)(?==>)")  # of an arrow, not of an async one
_TRUTH = re.compile(r"\b(?:(true)|false)\b")


def joined(entry: str, folder: Traversable) -> bytes:
    """Join a module and what it imports into one classic script, each module once, after those that it needs.

    There is no build step: the modules keep to a few rules (``tests/static``) under which this is all it takes.
    Imports stand in a line each, by name; what is exported is a declaration; no two modules declare the same name; no
    comment's mark stands in a string and no text goes over several lines; no regular expression has a blank or a quote;
    no statement is empty, and each ends with its mark or its brace. Comments, the blanks and ends of lines that mean
    nothing, the last mark of a block and those around an arrow's only argument are left out; constants, true and false
    and what a class keeps to itself take fewer letters.
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
    pieces = _TEXT.split(body)  # every second one is a text
    for pattern, left in (
        (_AROUND_MARKS, r"\1"),
        (_NEEDLESS_END, ""),
        (_BEFORE_END, ""),
        (_CONST, "let"),
        (_ONLY_ARGUMENT, r"\1"),
    ):
        pieces[::2] = [pattern.sub(left, piece) for piece in pieces[::2]]
    pieces[::2] = [_TRUTH.sub(lambda word: "!0" if word[1] else "!1", piece) for piece in pieces[::2]]
    own = dict.fromkeys(name for piece in pieces[::2] for name in _PRIVATE.findall(piece))
    short = {name: f"#{letter}" for name, letter in zip(own, ascii_letters, strict=False)}
    pieces[::2] = [_PRIVATE.sub(lambda name: short[name[1]], piece) for piece in pieces[::2]]
    return f'(()=>{{"use strict";\n{"".join(pieces)}}})();\n'.encode()


def compact(stylesheet: str) -> bytes:
    """Return a stylesheet without comments, blanks and zeros that mean nothing; no text of it has a mark of these."""
    text = re.sub(r"\s+", " ", _BLOCK_COMMENT.sub("", stylesheet))
    text = re.sub(r" ?([{};,>]) ?", r"\1", text).replace(": ", ":").strip()
    return re.sub(r"(?<=[ :(,-])0(?=\.\d)", "", text).encode()


@cache
def bundled() -> dict[str, Asset]:
    """Return the assets by their plain names. Read once."""
    folder = static_dir()
    contents = {name: folder.joinpath(name).read_bytes() for name in FILES}
    contents |= {name: compact(contents[name].decode()) for name in FILES if name.endswith(".css")}
    contents |= {name: joined(name, folder.joinpath("src")) for name in SCRIPTS}
    return {name: Asset(name, contents[name]) for name in NAMES}


@cache
def by_hashed_name() -> dict[str, Asset]:
    """Return the assets by their hashed names."""
    return {asset.hashed_name: asset for asset in bundled().values()}


def asset_urls(base: str) -> dict[str, str]:
    """Return the URL of each asset by its plain name. ``base`` is the prefix, after any root path."""
    return {name: f"{base}/static/{asset.hashed_name}" for name, asset in bundled().items()}


class Head(str):
    """The tags of a page's head: HTML, which templates insert as it is (``__html__``)."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def head(base: str, *, htmx: bool = True) -> Head:
    """Return the tags for a page's head: the stylesheet, htmx if wanted, and the script."""
    urls = asset_urls(base)
    scripts = ("htmx.min.js", "stepup.js") if htmx else ("stepup.js",)
    return Head(
        "\n".join(
            (
                f'<link rel="stylesheet" href="{urls["stepup.css"]}">',
                *(f'<script src="{urls[name]}" data-stepup-texts="{base}/texts" defer></script>' for name in scripts),
            )
        )
    )
