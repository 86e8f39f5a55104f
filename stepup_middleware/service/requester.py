"""The requester: the signed-in person of a request, their address and browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Unpack

from stepup_middleware.asgi import header, headers
from stepup_middleware.core.canonical import storable
from stepup_middleware.core.client_ip import (
    Network,
    address_of_hop,
    client_behind,
    forwarded_hops,
    hops_from_the_right,
    within_prefix,
)
from stepup_middleware.core.events import AuditEvent, EventFields, EventName, event_by
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.subject import Subject, SubjectAt
from stepup_middleware.languages import SOURCE, Languages
from stepup_middleware.logged import get_logger

Scope = MutableMapping[str, Any]
Identify = Callable[[Scope], Awaitable[Subject | None]]
ClientAddress = Callable[[Scope], str | None]

logger = get_logger("stepup_middleware")

USER_AGENT_LENGTH = 256
PROXY_HEADERS = {"x-forwarded-for": hops_from_the_right, "forwarded": forwarded_hops}
LOCALE_KEY = "stepup_middleware.locale"  # in a scope: the language of its signed-in person


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester(SubjectAt):
    """A signed-in person at one request. ``now`` is read once and serves the whole request.

    ``locale`` is the language in which they read, as a tag that a catalogue has.
    """

    ip: str
    user_agent: str
    now: datetime
    locale: str = SOURCE

    def event(self, name: EventName, *, retention_years: int = 1, **fields: Unpack[EventFields]) -> AuditEvent:
        """Return an audit event of this requester at this moment. ``fields`` are further ones, or replace these."""
        return event_by(self, name, at=self.now, retention_years=retention_years, **fields)

    def completed(
        self, proof: Proof, *, at: datetime, retention_years: int, outcome: Mapping[str, object]
    ) -> AuditEvent:
        """Return the audit event of how the action that ``proof`` authorized has ended."""
        return event_by(
            self,
            EventName.ACTION_COMPLETED,
            at=at,
            purpose=proof.purpose,
            prompt_id=proof.prompt_id,
            factor_kind=proof.factor_kind,
            factor_id=proof.factor_id,
            requirement=proof.requirement,
            policy_version=proof.policy_version,
            details=proof.details,
            retention_years=retention_years,
            data=outcome,
        )


class Identification:
    """Turns a scope into a requester, or into a refusal.

    An exception in ``identify`` or in the address resolver is a refusal, never a requester without a name.
    """

    def __init__(
        self,
        *,
        identify: Identify,
        clock: Callable[[], datetime],
        client_address: ClientAddress | None,
        trusted: Sequence[Network],
        proxy_header: str,
        ipv6_prefix: int,
        languages: Languages,
        locale: str | Callable[[Scope], str | None] | None = None,
    ) -> None:
        self._identify = identify
        self._clock = clock
        self._client_address = client_address
        self._trusted = tuple(trusted)
        self._proxy_header = proxy_header.encode()
        self._hops = PROXY_HEADERS[proxy_header]
        self._ipv6_prefix = ipv6_prefix
        self._languages = languages
        self._locale = locale
        self._warned = False

    async def identify_request(self, scope: Scope) -> Requester | Refusal:
        """Return the requester of a request, or why there is none; what is said to them next is in memory then."""
        found = await self._identified(scope)
        locale = found.locale if isinstance(found, Requester) else self.locale_of(scope)
        await self._languages.ready(locale)
        return found

    async def _identified(self, scope: Scope) -> Requester | Refusal:
        try:
            subject: object = await self._identify(scope)
        except Exception as error:
            logger.exception("identify failed; the request is refused%s", _missing_middleware(error))
            return Refusal(code=RefusalCode.UNAVAILABLE)
        if subject is None:
            return Refusal(code=RefusalCode.NOT_SIGNED_IN)
        if not isinstance(subject, Subject):
            logger.error("identify returned %s instead of a Subject; the request is refused", type(subject).__name__)
            return Refusal(code=RefusalCode.UNAVAILABLE)
        ip = self.address_of(scope)
        if ip is None:
            logger.error(
                "the client's address is unknown and the proof is bound to it; the request is refused "
                "(behind a socket or proxy, name trusted_proxies or give client_address)"
            )
            return Refusal(code=RefusalCode.UNAVAILABLE)
        try:
            now = self._clock()
        except Exception:
            logger.exception("the clock failed; the request is refused")
            return Refusal(code=RefusalCode.UNAVAILABLE)
        agent = header(scope, b"user-agent") or b""
        return Requester(
            subject=subject,
            ip=ip,
            user_agent=storable(agent.decode("latin-1"), USER_AGENT_LENGTH),
            now=now,
            locale=self.locale_of(scope, subject),
        )

    def locale_of(self, scope: Scope, subject: Subject | None = None) -> str:
        """Return the language of a request: the app's word, the person's, or what their browser accepts."""
        known: object = scope.get(LOCALE_KEY)
        if isinstance(known, str):
            return known
        wanted: object = self._locale
        if callable(wanted):
            try:
                wanted = wanted(scope)
            except Exception:
                logger.exception("locale failed; the language is chosen without it")
                wanted = None
        for each in (wanted, None if subject is None else subject.locale):
            if isinstance(each, str) and each and (found := self._languages.find(each)) is not None:
                break
        else:
            accepted = header(scope, b"accept-language") or b""
            found = self._languages.negotiate(accepted.decode("latin-1"))
        if subject is not None:
            scope[LOCALE_KEY] = found
        return found

    def address_of(self, scope: Scope) -> str | None:
        """Return the address of the client of a request, None when it is not known.

        Of an IPv6 address it is the first one of its network, where not all of its bits count.
        """
        address = self._whole_address_of(scope)
        return None if address is None else within_prefix(address, self._ipv6_prefix)

    def _whole_address_of(self, scope: Scope) -> str | None:
        if self._client_address is not None:
            try:
                given = self._client_address(scope)
            except Exception:
                logger.exception("client_address failed")
                return None
            return None if not isinstance(given, str) else address_of_hop(given)
        client = scope.get("client")
        peer = address_of_hop(client[0]) if client and isinstance(client[0], str) else None
        if client is None or peer is None:
            return None
        if client[1] == 0 and not self._warned:
            self._warn_of_a_credulous_server(peer, _lines(scope, b"x-forwarded-for"))
        if not self._trusted:
            return peer
        return client_behind(peer, _lines(scope, self._proxy_header), self._trusted, self._hops)

    def _warn_of_a_credulous_server(self, peer: str, forwarded: Sequence[str]) -> None:
        """Say once that the server takes the address from where a client may write it.

        uvicorn sets port 0 where the address is out of ``X-Forwarded-For``: the first entry where it trusts ``*``.
        """
        hops = [hop for hop in hops_from_the_right(forwarded) if hop]
        if len(hops) > 1 and address_of_hop(hops[-1]) == peer:
            self._warned = True
            logger.warning(
                "the server believes the first entry of X-Forwarded-For, which the client itself may have written: "
                "unless every later entry is a proxy of yours, name them (uvicorn --forwarded-allow-ips) and not *"
            )


def _lines(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for value in headers(scope, name)]


def _missing_middleware(error: Exception) -> str:
    """Return what to look at where ``identify`` missed what another middleware puts into the scope."""
    said = str(error).lower()
    for name, example in (("session", "SessionMiddleware"), ("user", "AuthenticationMiddleware")):
        if name in said:
            return (
                f". What puts {name!r} into the scope has to be outside StepUpMiddleware, so that it comes first: "
                f"{example}(StepUpMiddleware(app, ...), ...)"
            )
    return ""
