"""For programs that call a tagged route: a person is asked, on their terminal or in a browser of theirs.

::

    with httpx.Client(auth=StepUpAuth("https://api.example.com"), headers={"Authorization": "Bearer ..."}) as client:
        client.post("https://api.example.com/webhooks/7/rotate")

``StepUpAuth`` is an ``httpx.Auth``, for ``httpx.Client`` and ``httpx.AsyncClient``. Where a route wants a proof it asks
for a code of an authenticator app, or shows a link and two digits and waits until the person has approved the request;
then it sends the same request once more, with the token. Needs the extra ``client``.
"""

from __future__ import annotations

from .auth import StepUpAuth
from .questions import (
    Approval,
    Question,
    StepUpDenied,
    StepUpNotAsked,
    StepUpNotProved,
    StepUpNotRepeatable,
    StepUpTimedOut,
)
from .screen import Screen, TerminalScreen

__all__ = [
    "Approval",
    "Question",
    "Screen",
    "StepUpAuth",
    "StepUpDenied",
    "StepUpNotAsked",
    "StepUpNotProved",
    "StepUpNotRepeatable",
    "StepUpTimedOut",
    "TerminalScreen",
]
