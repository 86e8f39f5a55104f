"""Ends the session of a program for its person: first here, then in the app, which alone can end its sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from stepup_middleware.core.approvals import Approval, caller_of
from stepup_middleware.core.events import EventName
from stepup_middleware.core.notices import browser_of
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.subject import EndedSession, whole_session
from stepup_middleware.core.texts import marked
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.base import HotState

from .notices import person_language
from .requester import Requester

EndSession = Callable[[EndedSession], Awaitable[None]]

END_SECONDS = 10.0  # for the app, each time
_NOT_ENDED = Refusal(
    code=RefusalCode.UNAVAILABLE,
    detail=marked(
        "What this session asked for is denied, and nothing that it has open counts any more. Yet the app could not "
        "end the session itself: try again, and tell your security team if it stays like this."
    ),
)

logger = get_logger("stepup_middleware")


class SessionEnder:
    """Ends sessions by the app's ``end_session``; without one it ends none."""

    def __init__(self, *, store: HotState, hook: EndSession | None) -> None:
        self._store = store
        self._hook = hook

    @property
    def can_end(self) -> bool:
        """Whether the app has said how a session of its own ends."""
        return self._hook is not None

    async def revoke(self, requester: Requester, approval: Approval) -> None:
        """Make worthless what the session of a program has open, whoever acts in it. Raises ``StoreError``."""
        prompt = approval.prompt
        session = whole_session(prompt.session)
        await self._store.revoke_session(prompt.workspace_id, prompt.subject_id, session, now=requester.now)

    async def end_in_app(self, approval: Approval) -> tuple[str, str]:
        """Let the app end the session; return how that went, as the log says it, and the exception's class."""
        prompt, end_session = approval.prompt, self._hook or _nothing
        ended = EndedSession(
            workspace_id=prompt.workspace_id,
            subject_id=prompt.subject_id,
            session=whole_session(prompt.session),
            actor=prompt.actor,
            client=prompt.client,
            ip=prompt.ip,
        )
        try:
            async with asyncio.timeout(END_SECONDS):
                await end_session(ended)
        except TimeoutError:
            logger.error("end_session did not return within %s seconds", END_SECONDS)
            return "late", ""
        except Exception as error:
            logger.exception("end_session failed; the session goes on in the app")
            return "raised", type(error).__name__
        return "returned", ""

    async def log(self, requester: Requester, approval: Approval, outcome: str, exception: str) -> Refusal | None:
        """Write how it went, and return what the person is told where the session goes on. Raises ``StoreError``."""
        prompt = approval.prompt
        who = (prompt.actor, prompt.client, browser_of(prompt.user_agent))
        data: dict[str, Any] = {
            "caller": caller_of(prompt),
            "prompt": prompt.id,
            "name": " · ".join(each for each in who if each),
            "outcome": outcome,
            **person_language(requester),
        }
        if exception:
            data["exception"] = exception
        if outcome != "returned":
            data["untold"] = True  # the page says it; a notice would say that the session has ended
        await self._store.records.append([requester.event(EventName.SESSION_ENDED, data=data)])
        return None if outcome == "returned" else _NOT_ENDED


async def _nothing(ended: EndedSession) -> None:
    """End nothing: nobody is offered it where the app has not said how."""
    raise NotImplementedError
