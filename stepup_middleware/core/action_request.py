"""What a gate asks for: that a request may run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .binding import BoundRequest, Details
    from .purposes import Purpose


@dataclass(slots=True, kw_only=True)  # one a request
class ActionRequest:
    """A request that wants to run: for which purpose, what it is, and the tokens that came with it.

    ``tokens`` are the raw values of every ``StepUp-Token`` header, or the one of the library's own cookie
    on a navigation. ``prefetch``, which is refused without asking anybody. ``linked``: a page of another
    site led here, whose doing must not use up the places that the person has for prompts.
    """

    purpose: Purpose
    request: BoundRequest
    details: Details
    tokens: Sequence[bytes] = field(repr=False)
    prefetch: bool = False
    linked: bool = False
