"""The SQL of a store, read from the files beside its modules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files

_HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_MIGRATION = re.compile(r"\d{4}\.sql")
_COMMENT = re.compile(r"--.*$", re.MULTILINE)


def load_statements(package: str) -> dict[str, str]:
    """Return the statements of a package's ``statements/*.sql`` by the name in the line above each.

    Text before the first name of a file is a comment on the whole file.
    """
    statements: dict[str, str] = {}
    for file in files(package).joinpath("statements").iterdir():
        if not file.name.endswith(".sql"):
            continue
        _, *parts = _HEADING.split(file.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in statements:
                raise ValueError(f"two statements are called {name}")
            statements[name] = text.strip().removesuffix(";")
    return statements


def joined(*sets: Mapping[str, str]) -> Mapping[str, str]:
    """Return several sets of statements as one. Raises ``ValueError`` when two have the same name."""
    statements: dict[str, str] = {}
    for some in sets:
        if twice := statements.keys() & some.keys():
            raise ValueError(f"two statements are called {min(twice)}")
        statements |= some
    return statements


def load_migrations(package: str) -> tuple[str, ...]:
    """Return the numbered scripts of a package's ``schema`` in their order: the n-th leads to version n."""
    folder = files(package).joinpath("schema")
    names = sorted(file.name for file in folder.iterdir() if _MIGRATION.fullmatch(file.name))
    return tuple(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def foundation_of(migrations: tuple[str, ...]) -> str:
    """Return what a database notes of the script that made it: a schema that another script made cannot be used.

    Comments and spaces do not count. The scripts after the first are known by their number.
    """
    return sha256(" ".join(_COMMENT.sub("", migrations[0]).split()).encode()).hexdigest()[:16]
