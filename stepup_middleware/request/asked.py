"""The questions that a handler asks by ``require_step_up``, and whether it waits for their verdicts."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from typing import Any

from stepup_middleware.asgi import Message, Scope
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.refusals import Refusal
from stepup_middleware.logged import get_logger

logger = get_logger("stepup_middleware")


class Asked:
    """A question of a handler (``require_step_up``): is it open, has its verdict come, and where does a refusal go?

    Inside of the task that asked, a refusal is raised where the question is awaited. In a task of its own
    (``create_task``, ``gather``) it goes to whoever looks at that task, and that may be nobody.
    """

    __slots__ = ("_asking", "apart", "coroutine", "refused", "settled")

    def __init__(self) -> None:
        self.coroutine: Coroutine[Any, Any, Proof] | None = None
        self._asking = _task_in_hand()
        self.settled = self.apart = self.refused = False

    def settle(self, verdict: Proof | Refusal) -> None:
        """Note the verdict, in the task in which the question runs."""
        self.settled, self.refused = True, isinstance(verdict, Refusal)
        self.apart = self._asking is None or _task_in_hand() is not self._asking

    @property
    def forgotten(self) -> bool:
        """Whether it was never awaited."""
        return self.coroutine is not None and inspect.getcoroutinestate(self.coroutine) == inspect.CORO_CREATED

    @property
    def open(self) -> bool:
        """Whether its verdict may still come."""
        return self.coroutine is not None and inspect.getcoroutinestate(self.coroutine) != inspect.CORO_CLOSED

    @property
    def unheard(self) -> bool:
        """Whether an answer that is no error shows that the handler went on without a verdict or past a refusal."""
        return not self.settled or (self.refused and self.apart)


def _task_in_hand() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # in a thread without a loop
        return None


class Questions:
    """Those of one request."""

    __slots__ = ("_asked", "_scope", "_unused_tags")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._asked: list[Asked] = []
        self._unused_tags: list[str] = []  # their purposes

    def note(self, question: Asked) -> None:
        """Keep in mind that a handler has asked, and must have the verdict before it answers itself."""
        self._asked = [*(each for each in self._asked if each.open or each.unheard), question]

    def note_unused_tag(self, purpose: str) -> None:
        """Keep in mind that a handler made a tag and put it on nothing, as if that asked somebody."""
        self._unused_tags.append(purpose)
        logger.critical(
            "requires_step_up(%r) was called in the handler of %s and put on nothing, so that nobody was asked and the "
            "action may have run. Write `await require_step_up(request, %r)`, or put the tag above the handler",
            purpose,
            self._scope.get("path"),
            purpose,
        )

    def are_forgotten(self, message: Message | None = None, *, answered: bool = False) -> bool:
        """Whether a handler that sends this message (None: that has ended) goes on without a verdict.

        A question must be awaited before anything is sent. When the answer to an HTTP request begins or ends, none may
        be open in another task either. An answer that is no error (``answered``: and not ours) means that no question
        was cancelled, and that no refusal was left in another task. The log says so.
        """
        if self._unused_tags:
            self._unused_tags.clear()
            return True
        if not self._asked:
            return False
        kind = None if message is None else message["type"]
        begins = kind == "http.response.start"
        ends = message is None or (kind == "http.response.body" and not message.get("more_body", False))
        goes_on = begins and message is not None and not is_error(message) and not answered
        forgotten = [
            each
            for each in self._asked
            if each.forgotten or ((begins or ends) and each.open) or (goes_on and each.unheard)
        ]
        self._asked = [each for each in self._asked if each.open and each not in forgotten]
        for question in forgotten:
            self._say(question)
        return bool(forgotten)

    def _say(self, question: Asked) -> None:
        if question.forgotten and question.coroutine is not None:
            question.coroutine.close()
        how, why = "its refusal never heard", "it was refused in another task"
        if not question.settled:
            how, why = "never awaited", "nobody was asked"
        logger.critical(
            "require_step_up was called and %s for %s: %s, and the action may have run. Write `await "
            "require_step_up(...)` in the coroutine that acts; in a sync handler, call it through the event loop",
            how,
            self._scope.get("path"),
            why,
        )


def is_error(message: Message) -> bool:
    """Whether a message begins an answer that says that something failed."""
    return message["type"] == "websocket.close" or int(message.get("status", 0)) >= 400
