"""The SQL of the store, read from the files beside this module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

_HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load_statements() -> Mapping[str, str]:
    """Return the statements of ``sql/*.sql`` by the name in the line above each."""
    statements: dict[str, str] = {}
    for file in files(__package__).joinpath("sql").iterdir():
        if not file.name.endswith(".sql"):
            continue
        _, *parts = _HEADING.split(file.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in statements:
                raise ValueError(f"two statements are called {name}")
            statements[name] = text.strip().removesuffix(";")
    return statements


def load_migrations() -> tuple[str, ...]:
    """Return the numbered scripts of ``schema`` in their order: the n-th leads to version n."""
    folder = files(__package__).joinpath("schema")
    names = sorted(file.name for file in folder.iterdir() if re.fullmatch(r"\d{4}\.sql", file.name))
    return tuple(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
