"""What admins do: by whom and from where, and a refusal that the log has for everybody else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from stepup_middleware.asgi import header
from stepup_middleware.core.canonical import storable
from stepup_middleware.core.events import EventName, event_by
from stepup_middleware.core.initiators import SubjectAt
from stepup_middleware.core.subject import Subject
from stepup_middleware.errors import NotPermitted

from .refusal_throttle import RefusalThrottle
from .requester import USER_AGENT_LENGTH, Identification, Scope

NO_ADDRESS = (
    "The address from which you ask is not known, and the log must name it. Nothing was done. "
    "Name trusted_proxies or give client_address."
)


class AdminGuard:
    """Says who an admin is at a request, and refuses others."""

    def __init__(
        self, *, identification: Identification, clock: Callable[[], datetime], throttle: RefusalThrottle
    ) -> None:
        self._identification = identification
        self._throttle = throttle
        self.clock = clock

    def at(self, subject: Subject, scope: Scope | None) -> SubjectAt:
        """Return a person with the address and browser of a request; ``scope`` None: no request asks, a program does.

        Raises ``NotPermitted`` when the request's address is not known.
        """
        if scope is None:
            return SubjectAt(subject=subject)
        ip = self._identification.address_of(scope)
        if ip is None:
            raise NotPermitted(NO_ADDRESS)
        agent = (header(scope, b"user-agent") or b"").decode("latin-1")
        return SubjectAt(subject=subject, ip=ip, user_agent=storable(agent, USER_AGENT_LENGTH))

    async def check(self, who: SubjectAt, wanted: str) -> None:
        """Raise ``NotPermitted`` unless somebody is an admin; the log has what was ``wanted`` (one word)."""
        if who.subject.is_admin:
            return
        await self.refuse(who, wanted, "not_an_admin")
        raise NotPermitted("Only an admin of the workspace may do this. Nothing was done.")

    async def refuse(self, who: SubjectAt, wanted: str, reason: str) -> None:
        """Log that somebody wanted what they may not (one word each)."""
        event = event_by(
            who, EventName.BLOCKED, at=self.clock(), reason=reason, flags=(reason,), data={"wanted": wanted}
        )
        await self._throttle.log(who.subject, event)
