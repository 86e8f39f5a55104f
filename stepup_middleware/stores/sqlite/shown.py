"""A presentation as the redeeming statement reads it."""

from __future__ import annotations

from typing import Any

from stepup_middleware.core.decisions import CLOCK_SKEW, Presentation
from stepup_middleware.core.moments import span_micros
from stepup_middleware.stores.rows import presentation_row

_SKEW = span_micros(CLOCK_SKEW)


def shown_row(shown: Presentation) -> tuple[Any, ...]:
    """Return a presentation as the row that the redeeming statement reads, but for the batch before it."""
    row = presentation_row(shown, shown.user_agent)
    return (*row, row[-1] + _SKEW)
