"""A text for a person, before it is known in which language they read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Text(NamedTuple):
    """A text with values: the English one with ``%(name)s`` in it, and what stands there."""

    message: str
    values: Mapping[str, object]

    def __str__(self) -> str:
        return self.message % self.values if self.values else self.message


def marked(text: str) -> str:
    """Mark a text that is translated where it is shown. Returns it as it is."""
    return text
