"""What admins do: by whom and from where, by which proof, and a refusal that the log has for everybody else.

An act that takes a proof of the admin asks for it itself, at the request that it is handed: so no page of an app can
leave the question out, and no proof of another act, person or request can stand in for it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from stepup_middleware.asgi import KEY, header
from stepup_middleware.core.binding import Details
from stepup_middleware.core.canonical import storable
from stepup_middleware.core.events import EventName, event_by
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.purposes import Purpose
from stepup_middleware.core.subject import Subject, SubjectAt
from stepup_middleware.errors import NotPermitted

from .refusal_throttle import RefusalThrottle
from .requester import USER_AGENT_LENGTH, Identification, Scope

NO_ADDRESS = (
    "The address from which you ask is not known, and the log must name it. Nothing was done. "
    "Name trusted_proxies or give client_address."
)
NO_REQUEST = (
    "This takes the admin's own step-up, and there is no request to ask them at. Nothing was done. Hand over the "
    "request's scope, as StepUpMiddleware passes it on."
)
_ANOTHER = "This takes the admin's own step-up, and it is somebody else who asks. Nothing was done."

Words = Callable[[Callable[[str], str]], Details]
"""What a proof is about, with whose words are in the language of the person that the given function translates to."""


class Asking(Protocol):
    """What the middleware places in a scope, and asks the person of the request for a proof."""

    async def prove(self, scope: Scope, purpose: Purpose, details: Words, token: str | bytes | None) -> Proof:
        """Return the proof, or raise ``StepUpRequired``, which the middleware answers."""


class AdminGuard:
    """Says who an admin is at a request, asks them for their proof, and refuses others."""

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

    async def prove(
        self, subject: Subject, scope: Scope | None, purpose: Purpose, details: Words, token: str | bytes | None = None
    ) -> Proof:
        """Return an admin's proof of this very act, redeemed here and now, at the request whose ``scope`` it is.

        Raises ``StepUpRequired`` where it is still to be given: the middleware answers it, and the client repeats the
        request. ``token`` is that of a further question of one request. Raises ``NotPermitted`` without a request, and
        where another person than ``subject`` is signed in there.
        """
        asking: Asking | None = None if scope is None else scope.get(KEY)
        if scope is None or asking is None:
            raise NotPermitted(NO_REQUEST)
        proof = await asking.prove(scope, purpose, details, token)
        if (proof.workspace_id, proof.subject_id) != (subject.workspace_id, subject.id):
            raise NotPermitted(_ANOTHER)
        return proof

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
