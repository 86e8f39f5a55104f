"""What is handed to PostgreSQL: texts that it can hold, a presentation, rows by their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepup_middleware.core.decisions import Presentation
from stepup_middleware.stores.rows import Row, presentation_row


def storable(*texts: str | None) -> bool:
    """Whether PostgreSQL can hold the texts: it has no NUL, and UTF-8 no lone surrogates. What it cannot hold
    is in no row, so who looks for it finds nothing."""
    try:
        return not any(text is not None and b"\0" in text.encode() for text in texts)
    except UnicodeEncodeError:
        return False


def shown_row(shown: Presentation) -> tuple[Any, ...] | None:
    """Return a presentation in the order of the parameters of ``redeem``, None when it can match no row."""
    if not storable(shown.workspace_id + shown.subject_id + shown.session + shown.ip + shown.purpose):
        return None
    return presentation_row(shown, shown.user_agent.replace("\0", "\ufffd"))


def columns(rows: Sequence[Row], count: int) -> list[list[Any]]:
    """Return the rows as so many columns, which is how ``unnest`` takes them."""
    if not rows:
        return [[] for _ in range(count)]
    return [list(column) for column in zip(*rows, strict=True)]
