"""Puts the parts of a ``StepUp`` together, once, where it is built. Nothing is opened here, and nothing runs yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from stepup_middleware.core.attempts import AttemptLimit
from stepup_middleware.core.batches import Totals
from stepup_middleware.core.client_ip import trusted_networks
from stepup_middleware.core.clusters import ClusterRule
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.core.prompts import OPEN_PROMPTS_PER_SESSION
from stepup_middleware.core.purposes import Catalogue, Purpose
from stepup_middleware.core.relying_party import RelyingParty
from stepup_middleware.core.tokens import TokenCodec
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.languages import Languages, check_added, library_languages
from stepup_middleware.log.records import RowMacs
from stepup_middleware.log.witness.client import Witness
from stepup_middleware.stores.base import HotState

from . import settings
from .admin import AdminGuard
from .alerts import AlertService
from .approvals import ApprovalService
from .approving import ApprovingService
from .audit import AuditService
from .batches import BatchService
from .beginning import begin_log
from .ceremony_parts import WEBAUTHN_LIMIT
from .cluster_flagger import FailureClusterFlagger
from .enrolment import EnrolmentService
from .evidence import EvidenceService
from .factors import FactorService
from .figures import Figures, Meter, Requests
from .handover import CheckpointSink
from .health import HealthService
from .importing import ImportService
from .integrating import Integration
from .log_settings import checked_witnesses, read_log_keys
from .notices import NoticeWriter
from .policy import PolicyService
from .recovery import RecoveryService
from .recovery_rules import RecoveryRules
from .redemption import RedemptionService
from .refusal_throttle import RefusalThrottle
from .requester import ClientAddress, Identification, Identify, Scope
from .secret_box import SecretBox
from .session_ending import EndSession, SessionEnder
from .signing import CheckpointSigner
from .sinks import Dispatcher, NoticeSink, Sink
from .spool import EventSpool
from .spool_files import SpoolFiles
from .tampering import TamperAlarm


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a ``StepUp`` is made of. ``signer`` is None where no checkpoints are signed."""

    store: HotState
    catalogue: Catalogue
    languages: Languages
    secret_box: SecretBox
    identification: Identification
    redemption: RedemptionService
    approvals: ApprovalService
    approving: ApprovingService
    ender: SessionEnder
    ceremonies: BatchService
    policy: PolicyService
    audit: AuditService
    alerts: AlertService
    factors: FactorService
    guard: AdminGuard
    enrolment: EnrolmentService
    importing: ImportService
    recovery: RecoveryService
    evidence: EvidenceService
    dispatcher: Dispatcher
    spool: EventSpool
    integration: Integration
    signer: CheckpointSigner | None
    macs: RowMacs
    alarm: TamperAlarm
    health: HealthService
    figures: Figures

    async def check_keys(self) -> None:
        """Raise ``ConfigurationError`` where a row needs a secret key that is not in the list any more.

        A row under a key that this installation never had stops nothing: it does not count, and is an alarm.
        """
        missing = await self.store.records.check_mac_keys()
        for key in missing.strange:
            self.alarm.raise_for(
                ("mac key", key.hex()),
                f"rows have MACs of a key that this installation never had, which begin with {key.hex()}; they do not "
                "count. Find out who writes to the database",
                reason="mac_key",
                data={"mac_key": key.hex()},
            )
        if missing.ours:
            raise ConfigurationError(
                "secret_key lacks a key with which MACs of rows were made: put the old key back as a later one, run "
                "`stepup reencrypt`, then take it away. The MACs begin with "
                + ", ".join(key.hex() for key in missing.ours)
            )

    async def begin_log(self, checkpoints: Sequence[str], *, at: datetime) -> str:
        """Begin the log that the key is named after, and return the name: see ``beginning``."""
        await begin_log(self.store, self.signer, self.integration.origin, checkpoints=checkpoints, at=at)
        return self.integration.origin


def wire(
    *,
    secret_key: str | bytes | Sequence[str | bytes],
    store: HotState,
    relying_party: RelyingParty,
    identify: Identify,
    purposes: Iterable[Purpose],
    on_event: Sequence[Sink],
    notify: Sequence[NoticeSink],
    clock: Callable[[], datetime],
    trusted_proxies: Sequence[str],
    proxy_header: str,
    ipv6_prefix: int,
    client_address: ClientAddress | None,
    end_session: EndSession | None,
    open_prompts_per_session: int | None,
    totals: Totals | None,
    totp_limit: AttemptLimit | None,
    webauthn_limit: AttemptLimit | None,
    failure_cluster: ClusterRule | None,
    locale: str | Callable[[Scope], str | None] | None,
    texts: Mapping[str, Mapping[str, str]] | None,
    log_key: object,
    on_checkpoint: Sequence[CheckpointSink],
    witnesses: Sequence[Witness],
    quorum: int | None,
    spool: Path | None,
    metrics: Sequence[Meter],
    store_seconds: float,
    rules: RecoveryRules,
) -> Parts:
    """Check the settings of ``StepUp`` that the parts are made of, and return the parts.

    Raises ``ConfigurationError`` for a setting that cannot be served safely, with what to write instead.
    """
    if open_prompts_per_session is None:
        open_prompts_per_session = OPEN_PROMPTS_PER_SESSION
    if not isinstance(store, HotState):
        raise ConfigurationError("store must be one of stepup_middleware.stores, such as SQLiteStore(...)")
    if not isinstance(relying_party, RelyingParty):
        raise ConfigurationError("relying_party must be a RelyingParty(id=..., name=..., origins=[...])")
    settings.check_identify(identify)
    on_event = settings.checked_sinks("on_event", on_event)
    notify = settings.checked_sinks("notify", notify)
    settings.check_clock(clock)
    settings.check_client_address(client_address)
    settings.check_end_session(end_session)
    settings.check_addresses(trusted_proxies, proxy_header, ipv6_prefix)
    settings.check_positive(open_prompts_per_session=open_prompts_per_session)
    on_checkpoint = settings.checked_sinks("on_checkpoint", on_checkpoint)
    log_keys = read_log_keys(log_key)
    group = checked_witnesses(witnesses, quorum)
    if not log_keys and (on_checkpoint or group.clients):
        raise ConfigurationError(
            "on_checkpoint and witnesses need a log_key: make one with `stepup keygen --log NAME --output FILE`"
        )
    keys = KeyRing(secret_key)

    records = store.records
    macs = RowMacs(keys)
    records.use(macs)
    catalogue = Catalogue(settings.checked_purposes(purposes))
    languages = _languages(texts, locale, catalogue.values())
    codec = TokenCodec(keys.derive("token"))
    secret_box = SecretBox(keys.derive("totp-secret"))
    throttle = RefusalThrottle(records)
    approvals = ApprovalService(
        store=store, codec=codec, catalogue=catalogue, keys=keys.derive("approval-code"), throttle=throttle
    )
    identification = Identification(
        identify=identify,
        clock=clock,
        client_address=client_address,
        trusted=trusted_networks(trusted_proxies),
        proxy_header=proxy_header,
        ipv6_prefix=ipv6_prefix,
        languages=languages,
        locale=locale,
    )
    guard = AdminGuard(identification=identification, clock=clock, throttle=throttle)
    totp_limit = totp_limit or AttemptLimit()
    failure_cluster = failure_cluster or ClusterRule()
    flagger = FailureClusterFlagger(store=records, rule=failure_cluster)
    notices = NoticeWriter(
        store=records,
        languages=languages,
        app=relying_party.name,
        locale=locale if isinstance(locale, str) else None,
    )
    dispatcher = Dispatcher(
        on_event, notify=notify, store=records, clock=clock, prepare=flagger.flagged, make_notice=notices.write
    )
    if on_event or notify:
        records.subscribe(dispatcher.heard)
    event_spool = EventSpool(
        store=records, files=None if spool is None else SpoolFiles(spool, keys.derive("event-spool"))
    )
    records.on_unwritten(event_spool.take)
    alarm = TamperAlarm(store=records, clock=clock)
    records.on_tampering(alarm.row)
    integration = Integration(
        store=records,
        origin=log_keys[0].name if log_keys else f"{relying_party.id}/stepup",
        is_named=bool(log_keys),
        macs=macs,
        alarm=alarm,
    )
    signer = None
    if log_keys:
        signer = CheckpointSigner(
            store=records,
            integration=integration,
            keys=log_keys,
            clock=clock,
            sinks=on_checkpoint,
            witnesses=group,
            alarm=alarm,
        )
    audit = AuditService(store=records, clock=clock, signer=signer, rule=failure_cluster)
    requests = Requests()
    health = HealthService(
        refused=lambda: requests.fault,
        store=store,
        integration=integration,
        signer=signer,
        dispatcher=dispatcher,
        spool=event_spool,
        audit=audit,
        watch=approvals.watch,
        clock=clock,
    )
    figures = Figures(settings.checked_meters(metrics), partial(health.look, seconds=store_seconds), requests)
    if metrics:
        records.subscribe(figures.written)
    ceremonies = BatchService(
        totals=settings.checked_totals(totals, catalogue),
        store=store,
        codec=codec,
        secret_box=secret_box,
        relying_party=relying_party,
        catalogue=catalogue,
        totp_limit=totp_limit,
        webauthn_limit=webauthn_limit or WEBAUTHN_LIMIT,
        throttle=throttle,
    )
    return Parts(
        store=store,
        catalogue=catalogue,
        languages=languages,
        secret_box=secret_box,
        identification=identification,
        guard=guard,
        approvals=approvals,
        redemption=RedemptionService(
            store=store,
            codec=codec,
            throttle=throttle,
            clock=clock,
            languages=languages,
            approvals=approvals,
            open_limit=open_prompts_per_session,
        ),
        ceremonies=ceremonies,
        approving=ApprovingService(
            store=store,
            ceremonies=ceremonies,
            keys=keys.derive("approval-code"),
            throttle=throttle,
            watch=approvals.watch,
        ),
        ender=SessionEnder(store=store, hook=end_session),
        policy=PolicyService(store=records, catalogue=catalogue, guard=guard, throttle=throttle),
        audit=audit,
        alerts=AlertService(store=records, audit=audit, guard=guard),
        factors=FactorService(store=store, catalogue=catalogue, guard=guard, rules=rules),
        recovery=RecoveryService(store=records, catalogue=catalogue, rules=rules, throttle=throttle),
        enrolment=EnrolmentService(
            store=records,
            secret_box=secret_box,
            relying_party=relying_party,
            catalogue=catalogue,
            totp_limit=totp_limit,
            throttle=throttle,
            first_factor=rules.first_factor,
        ),
        importing=ImportService(store=records, secret_box=secret_box, relying_party=relying_party, catalogue=catalogue),
        evidence=EvidenceService(store=records, signer=signer),
        dispatcher=dispatcher,
        spool=event_spool,
        integration=integration,
        signer=signer,
        macs=macs,
        alarm=alarm,
        health=health,
        figures=figures,
    )


def _languages(texts: Mapping[str, Mapping[str, str]] | None, locale: object, purposes: Iterable[Purpose]) -> Languages:
    """Return the languages that can be shown: the library's, and what the app adds to them.

    Raises ``ConfigurationError`` for texts that cannot be shown, or for a ``locale`` that nobody can read.
    """
    if texts is not None:
        own = {
            text
            for each in purposes
            for text in (each.title, each.description, each.authorize_title, each.consequence)
            if text
        }
        check_added(texts, own)
    languages = library_languages(texts)
    if isinstance(locale, str):
        if languages.find(locale) is None:
            raise ConfigurationError(f"locale={locale!r} is none of {', '.join(languages.tags)}: add it by texts=")
    elif locale is not None and (not callable(locale) or settings.is_async(locale)):
        raise ConfigurationError(
            f"locale is a language, or a plain function of the scope, not async: {settings.named(locale)}"
        )
    return languages
