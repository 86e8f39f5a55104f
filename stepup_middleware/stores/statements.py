"""The SQL of a store, read from the files beside its modules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

_HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_MIGRATION = re.compile(r"\d{4}\.sql")


def load_statements(package: str) -> Mapping[str, str]:
    """Return the statements of a package's ``sql/*.sql`` by the name in the line above each."""
    statements: dict[str, str] = {}
    for file in files(package).joinpath("sql").iterdir():
        if not file.name.endswith(".sql"):
            continue
        _, *parts = _HEADING.split(file.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in statements:
                raise ValueError(f"two statements are called {name}")
            statements[name] = text.strip().removesuffix(";")
    return statements


def load_migrations(package: str) -> tuple[str, ...]:
    """Return the numbered scripts of a package's ``schema`` in their order: the n-th leads to version n."""
    folder = files(package).joinpath("schema")
    names = sorted(file.name for file in folder.iterdir() if _MIGRATION.fullmatch(file.name))
    return tuple(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
