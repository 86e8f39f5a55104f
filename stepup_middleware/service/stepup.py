"""StepUp: the configured library, its parts put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stepup_middleware import assets, roots
from stepup_middleware.core.events import AuditEvent, EventName, event_by
from stepup_middleware.core.purposes import PLATFORM_PURPOSES, Catalogue, Purpose

from . import settings

if TYPE_CHECKING:
    from types import TracebackType

    from stepup_middleware.core.attempts import AttemptLimit
    from stepup_middleware.core.batches import Totals
    from stepup_middleware.core.clusters import ClusterRule
    from stepup_middleware.core.relying_party import RelyingParty
    from stepup_middleware.core.subject import Subject
    from stepup_middleware.languages import Languages
    from stepup_middleware.log.witness.client import Witness
    from stepup_middleware.stores.base import HotState

    from .alerts import AlertService
    from .audit import AuditService
    from .factors import FactorService
    from .figures import Meter
    from .handover import CheckpointSink
    from .health import Health
    from .policy import PolicyService
    from .requester import ClientAddress, Identify, Scope
    from .session_ending import EndSession
    from .sinks import NoticeSink, Sink

_SECRETS_AT_ONCE = 200  # rows a transaction


def utcnow() -> datetime:
    """Return the present as an aware UTC datetime: the default clock."""
    return datetime.now(UTC)


class StepUp:
    """Step-up authentication for one app: configuration, services and the life of the store.

    ``secret_key``: one key or a list of them, each at least 32 bytes; the first signs, all verify.
    ``store``: where everything is kept. ``relying_party``: who asks (WebAuthn). ``identify``: an async
    callable that returns the ``Subject`` of a scope, or None when nobody is signed in. ``purposes``: the
    catalogue. ``on_event``: async callables that are handed each audit event, an alert again until each took it.
    ``notify``: async callables that are handed each ``Notice`` to a person, to be sent on, again until each took it.
    ``clock``: returns the present as an aware UTC datetime.

    ``prefix`` is where the middleware serves its own pages. ``trusted_proxies`` names, by address or
    network, the proxies whose ``proxy_header`` counts: ``x-forwarded-for``, or ``forwarded`` (RFC 7239);
    ``client_address`` replaces the whole look-up. ``ipv6_prefix`` says how many bits of an IPv6 address count, 48 to
    128: with 64 the addresses of one home or floor are one. ``end_session``, an async callable, is handed the
    ``EndedSession`` that a person wants to be ended where a program asks for their approval; without it nobody can.
    ``max_bound_body`` bounds a body that a tag binds, in bytes. ``enroll_url`` is where people enrol factors, if
    not on the bundled page; ``home_url``, a path or an http(s) URL, is where the bundled pages lead back to. With
    ``bundle_htmx=False`` the ``head`` leaves htmx out, for pages that bring their own or need none. ``totp_limit``
    and ``webauthn_limit`` bound wrong attempts per person. ``failure_cluster`` says how many failures on one
    purpose within how long are flagged to ``on_event`` and found by ``audit.clusters``. ``totals`` has, by purpose, a
    plain function of the details of requests that are confirmed together, and of their language, to their total.

    ``locale`` is the language of every text, or a plain function of the scope that returns one; without it, or where it
    returns None, ``Subject.locale`` and then ``Accept-Language`` say. ``texts`` adds languages and texts or replaces
    them: ``{"de": {"Cancel": "Zurück"}}``. ``templates`` is a folder with templates in the place of the library's
    of the same name. ``help_url`` is where *I cannot use any of these* leads, ``sign_in_url`` where people without a
    session are led; it is given where to come back to as ``next``.

    ``log_key`` signs checkpoints of the audit log, each minute if it grew, when the app stops, and when evidence is
    asked for: the ``Path`` of a key file of ``stepup keygen --log``, or its text. Without it nothing is signed, and
    evidence says so. ``on_checkpoint``: async callables that are handed each checkpoint, a signed note, to be kept
    where the database's owner cannot write, such as a ``CheckpointFile``. ``witnesses`` cosign each checkpoint, and
    ``quorum`` of them should (None: more than half); where fewer do, ``health`` says so.

    ``store_timeout`` bounds what one request waits for the store, over all its calls; later than that it is
    refused with 503.

    ``spool`` is a folder for files in which each process keeps how actions ended while the store does not take it, so
    that also a process that dies loses none. Without it they are kept in memory. At most 10,000 either way.

    ``health`` serves ``/stepup/health``, which says yes or no to all, and ``/stepup/health/live``: True, or a secret of
    16 characters or more that tells all figures to whoever sends it as a bearer token (RFC 6750). ``metrics`` count and
    time what happens: ``PrometheusMetrics()``, ``OpenTelemetryMetrics()``, or a ``Meter`` of the app's own.

    ``first_factor`` says what a person's first factor takes: ``recent_sign_in``, a sign-in of the last ten minutes;
    ``enrolment_pass``, a pass that an admin issued for them; or ``either``. With ``recovery_codes`` people may have ten
    codes, one of which enrols a factor and nothing else. After such a code, or a reset by an admin, purposes whose
    minimum is phishing-resistant are closed to the person for ``recovery_hold``. With ``reset_needs_two`` a reset takes
    two admins, each by a proof of their own.

    Raises ``ConfigurationError`` for anything that cannot be served safely.
    """

    def __init__(
        self,
        *,
        secret_key: str | bytes | Sequence[str | bytes],
        store: HotState,
        relying_party: RelyingParty,
        identify: Identify,
        purposes: Iterable[Purpose] = PLATFORM_PURPOSES,
        on_event: Sequence[Sink] = (),
        notify: Sequence[NoticeSink] = (),
        clock: Callable[[], datetime] = utcnow,
        prefix: str = "/stepup",
        trusted_proxies: Sequence[str] = (),
        proxy_header: str = "x-forwarded-for",
        ipv6_prefix: int = 128,
        client_address: ClientAddress | None = None,
        end_session: EndSession | None = None,
        max_bound_body: int = 32 * 1024 * 1024,
        enroll_url: str | None = None,
        home_url: str | None = None,
        bundle_htmx: bool = True,
        open_prompts_per_session: int | None = None,
        totals: Totals | None = None,
        totp_limit: AttemptLimit | None = None,
        webauthn_limit: AttemptLimit | None = None,
        failure_cluster: ClusterRule | None = None,
        locale: str | Callable[[MutableMapping[str, Any]], str | None] | None = None,
        texts: Mapping[str, Mapping[str, str]] | None = None,
        templates: str | Path | None = None,
        help_url: str | None = None,
        sign_in_url: str | None = None,
        log_key: str | os.PathLike[str] | None = None,
        on_checkpoint: Sequence[CheckpointSink] = (),
        witnesses: Sequence[Witness] = (),
        quorum: int | None = None,
        store_timeout: timedelta = timedelta(seconds=1.5),
        spool: str | os.PathLike[str] | None = None,
        health: bool | str = False,
        metrics: Sequence[Meter] = (),
        first_factor: str = "recent_sign_in",
        recovery_codes: bool = False,
        recovery_hold: timedelta = timedelta(hours=24),
        reset_needs_two: bool = False,
    ) -> None:
        # every service: only a built app needs them, not each module that tags a route
        from . import life, recovery_rules, wiring

        settings.check_prefix(prefix)
        settings.check_pages(home_url=home_url, enroll_url=enroll_url, help_url=help_url, sign_in_url=sign_in_url)
        settings.check_positive(max_bound_body=max_bound_body)
        settings.check_spans(store_timeout=store_timeout)
        self._parts = parts = wiring.wire(
            secret_key=secret_key,
            store=store,
            relying_party=relying_party,
            identify=identify,
            purposes=purposes,
            on_event=on_event,
            notify=notify,
            clock=clock,
            trusted_proxies=trusted_proxies,
            proxy_header=proxy_header,
            ipv6_prefix=ipv6_prefix,
            client_address=client_address,
            end_session=end_session,
            open_prompts_per_session=open_prompts_per_session,
            totals=totals,
            totp_limit=totp_limit,
            webauthn_limit=webauthn_limit,
            failure_cluster=failure_cluster,
            locale=locale,
            texts=texts,
            log_key=log_key,
            on_checkpoint=on_checkpoint,
            witnesses=witnesses,
            quorum=quorum,
            spool=None if spool is None else Path(spool),
            metrics=metrics,
            store_seconds=store_timeout.total_seconds(),
            rules=recovery_rules.checked_rules(
                first_factor=first_factor,
                recovery_codes=recovery_codes,
                recovery_hold=recovery_hold,
                reset_needs_two=reset_needs_two,
            ),
        )
        self.relying_party = relying_party
        self.purposes: Catalogue = parts.catalogue
        self.prefix = prefix
        self.enroll_url: str = enroll_url or f"{prefix}/factors"
        self.home_url = home_url
        self.help_url = help_url
        self.sign_in_url = sign_in_url
        self.max_bound_body = max_bound_body
        self.policy: PolicyService = parts.policy
        self.audit: AuditService = parts.audit
        self.alerts: AlertService = parts.alerts
        self.factors: FactorService = parts.factors
        self.languages: Languages = parts.languages
        self._templates = settings.checked_folder("templates", templates)
        self._bundle_htmx = bundle_htmx
        self._clock = clock
        self._health = settings.checked_health(health)
        self._life = life.Life(parts, clock=clock, store_seconds=store_timeout.total_seconds())

    # life

    async def start(self) -> None:
        """Open the store and start the sinks. Called by the middleware; safe to call again.

        Raises ``ConfigurationError`` for a set-up that must not be served, ``StoreError`` when the store
        cannot be reached now (a later call may succeed).
        """
        await self._life.start()

    async def close(self) -> None:
        """Flush what was handed over, stop the sinks and close the store. Safe to call twice."""
        await self._life.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def head(self) -> assets.Head:
        """The tags for a page's head: the bundled stylesheet, htmx and script (HTML, safe to insert as it is).

        For an app below a sub-path, ``head_for``.
        """
        return assets.head(self.prefix, htmx=self._bundle_htmx)

    def head_for(self, request: Any) -> assets.Head:
        """The tags for a page's head as this request needs them: behind the app's root path, if it has one.

        ``request`` is the ASGI scope, or the framework's request that has it as ``scope``. As a global of Jinja:
        ``env.globals["stepup_head"] = stepup.head_for``, then ``{{ stepup_head(request) }}``.
        """
        scope = request if isinstance(request, Mapping) else request.scope
        return assets.head(roots.base_of(scope, self.prefix), htmx=self._bundle_htmx)

    # what others ask

    async def end_session(self, subject: Subject) -> None:
        """Make the open prompts and unused tokens of a session worthless. Call it when a person signs out.

        Those of every actor and client in the session end with it, or of one where ``subject`` names it.
        """
        await self.start()
        await self._parts.store.revoke_session(subject.workspace_id, subject.id, subject.session, now=self._clock())

    async def spend_time_step(self, subject: Subject, step: int) -> bool:
        """Spend a TOTP time-step that the app's own sign-in accepted, so that its code serves nowhere else.

        False when the step was spent before: then the sign-in must refuse the code.
        """
        await self.start()
        return await self._parts.store.records.advance_time_step(subject.workspace_id, subject.id, step)

    @property
    def log_vkeys(self) -> tuple[str, ...]:
        """The public keys of the audit log as vkeys, for whoever verifies it; none without a ``log_key``."""
        return () if self._parts.signer is None else tuple(map(str, self._parts.signer.keys))

    async def begin_log(self, checkpoints: Sequence[str] = ()) -> str:
        """Begin a new log under the name of ``log_key``, where the one before must not be signed any more.

        Its first leaf commits to the last checkpoint of the log before: the newest of ``checkpoints``, signed notes
        that were kept, and of those that the database and ``on_checkpoint`` have. Run it while the app is stopped.
        Returns the name. Raises ``ConfigurationError`` where there is a log of this name already, or no ``log_key``.
        """
        return await self._parts.begin_log(checkpoints, at=self._clock())

    async def evidence(self, workspace_id: str, prompt_id: str) -> dict[str, Any] | None:
        """Return the evidence bundle of a step-up of a workspace, a JSON value; None when there is none.

        It has the records of others in this workspace who tried the same prompt: hand it to admins and auditors.
        ``schemas/evidence-2.json`` describes it, ``stepup audit verify`` judges it. Raises ``EvidenceError`` where no
        signed checkpoint has all its records, as without a ``log_key``, and ``StoreError``.
        """
        await self.start()
        return await self._parts.evidence.bundle(workspace_id, prompt_id)

    async def reencrypt_secrets(self) -> None:
        """Encrypt every stored secret and renew every lasting MAC under the first key: the later ones can go then.

        Run it once all nodes have the new key first in ``secret_key``. Safe while they serve, and to repeat.
        Raises ``StoreError`` when a secret opens with no key of the ring.
        """
        await self.start()
        after: str | None = ""
        while after is not None:
            after = await self._parts.store.records.reencrypt_secrets(
                _SECRETS_AT_ONCE, after, self._parts.secret_box.rotate
            )

    async def revoke_all(self, subject: Subject | None = None, *, scope: Scope | None = None) -> None:
        """Make every outstanding prompt and token of the installation worthless, on all nodes; log it: ``ALL_REVOKED``.

        ``subject`` is the admin who asks, ``scope`` that of their request, for the log; without a subject a program
        asks. Raises ``NotPermitted`` for anybody but an admin, and nothing is revoked.
        """
        await self.start()
        guard = self._parts.guard
        if subject is None:
            event = AuditEvent(at=guard.clock(), name=EventName.ALL_REVOKED, workspace_id="", subject_id="")
        else:
            who = guard.at(subject, scope)
            await guard.check(who, "revoke_all")
            event = event_by(who, EventName.ALL_REVOKED, at=guard.clock())
        await self._parts.store.revoke_all(event=event, now=event.at)

    async def health(self) -> Health:
        """Look how the installation is: whether an action can be authorized now, and what needs somebody's attention.

        Something is written, durably, at most once a second, within ``store_timeout``. Never raises for a store that
        is down. While it is not ready, tagged requests are refused and all others are served: a reason for an alarm,
        not to take the node out of service.
        """
        if not await self._life.usable():
            return self._parts.health.told(self._life.fault)
        return await self._parts.health.look(seconds=self._life.store_seconds)
