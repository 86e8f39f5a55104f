"""A presentation as the redeeming statement reads it."""

from __future__ import annotations

from typing import Any

from stepup_middleware.core.decisions import CLOCK_SKEW, Presentation
from stepup_middleware.core.moments import span_micros, to_micros

_SKEW = span_micros(CLOCK_SKEW)


def shown_row(shown: Presentation) -> tuple[Any, ...]:
    """Return a presentation as the row that the redeeming statement reads, but for the batch before it."""
    now = to_micros(shown.now)
    return (
        shown.reference.id,
        shown.reference.nonce,
        shown.attempt,
        shown.workspace_id,
        shown.subject_id,
        shown.session,
        shown.ip,
        shown.user_agent,
        shown.purpose,
        span_micros(shown.ttl),
        shown.minimum.strength,
        shown.request_digest,
        shown.details_digest,
        now,
        now + _SKEW,
    )
