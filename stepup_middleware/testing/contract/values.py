"""People, factors, prompts and tokens for the tests of a store: real values, made through the contract alone."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from stepup_middleware.core.audit import AuditFilter, read_record
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.binding import BoundRequest, Details, details_digest
from stepup_middleware.core.decisions import Presentation, Redemption, TokenRow, Verdict
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.factors import (
    Enrolment,
    EnrolmentBasis,
    FactorKind,
    FactorRequirement,
    TOTPFactor,
    WebAuthnFactor,
)
from stepup_middleware.core.grants import TokenGrant
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.prompts import Prompt, PromptRequest
from stepup_middleware.core.purposes import Purpose
from stepup_middleware.core.standing import held_until, person_concerned
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.log.records import RECORD, RowMacs, entry_of
from stepup_middleware.stores.base import HotState

# of the rows of a store under test: StepUp gives a store those of its secret_key
MACS = RowMacs(KeyRing("the key of the rows of a store under test, 32 bytes"))
ORIGIN = "log.example/stepup"

Opener = Callable[[], HotState]  # one more store on the same data, not started

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TTL = timedelta(seconds=60)
MINUTE = timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)

TRANSMIT = Purpose(
    id="payroll_ach_transmit",
    title="Payroll ACH transmit",
    authorize_title="Authorize payroll ACH transmit",
    consequence="Real money moves.",
    minimum=FactorRequirement.PHISHING_RESISTANT,
    ttl=TTL,
)
ROTATE = replace(TRANSMIT, id="webhook_secret_rotation", minimum=FactorRequirement.ANY)

OWNER = Subject(id="u-owner", session_id="s-owner", workspace_id="w-1", name="owner@axis.example")
COSIGNER = Subject(id="u-cosigner", session_id="s-cosigner", workspace_id="w-1", name="cosigner@axis.example")

REQUEST = BoundRequest(method="POST", path="/payroll/2026-06/transmit", query="")
DETAILS: Details = (("Run", "2026-06"), ("Employees", "214"))
IP = "192.0.2.7"
USER_AGENT = "Firefox"

# in what a presentation departs from the honest one
STRANGER = {"subject_id": COSIGNER.id}
OTHER_SESSION = {"session": COSIGNER.session}
OTHER_WORKSPACE = {"workspace_id": "w-2"}
OTHER_IP = {"ip": "198.51.100.9"}


def passkey(**fields: Any) -> WebAuthnFactor:
    """Return a registered passkey, with a credential id of its own."""
    values: dict[str, Any] = {
        "id": secrets.token_hex(8),
        "kind": FactorKind.PASSKEY,
        "name": "Laptop",
        "created_at": NOW,
        "last_used_at": None,
        "credential_id": secrets.token_bytes(32),
        "public_key": b"\xa5\x01\x02",
        "algorithm": -7,
        "sign_count": 5,
        "backup_eligible": True,
        "backed_up": True,
        "transports": ("internal", "hybrid"),
        "aaguid": "01020304-0102-0304-0102-030401020304",
        "user_handle": bytes(64),
    }
    return WebAuthnFactor(**{**values, **fields})


def totp(last_step: int = 100, **fields: Any) -> TOTPFactor:
    """Return a confirmed one-time-password factor."""
    values: dict[str, Any] = {
        "id": secrets.token_hex(8),
        "name": "Phone",
        "created_at": NOW,
        "last_used_at": None,
        "encrypted_secret": secrets.token_bytes(40),
        "last_step": last_step,
    }
    return TOTPFactor(**{**values, **fields})


def event(name: EventName = EventName.POLICY_CHANGED, **fields: Any) -> AuditEvent:
    """Return an event of the owner."""
    values: dict[str, Any] = {
        "at": NOW,
        "name": name,
        "workspace_id": OWNER.workspace_id,
        "subject_id": OWNER.id,
    }
    return AuditEvent(**{**values, **fields})


def asked(subject: Subject = OWNER, purpose: Purpose = TRANSMIT, **fields: Any) -> PromptRequest:
    """Return a request for a prompt with an id of its own."""
    values: dict[str, Any] = {
        "prompt_id": secrets.token_urlsafe(16),
        "subject": subject,
        "ip": IP,
        "user_agent": USER_AGENT,
        "purpose": purpose,
        "request": REQUEST,
        "details": DETAILS,
        "locale": "en",
        "title": purpose.authorize_title,
        "consequence": purpose.consequence,
        "now": NOW,
    }
    return PromptRequest(**{**values, **fields})


def bucket_of(kind: FactorKind) -> str:
    """Return the attempt bucket of a kind of factor."""
    return "totp" if kind is FactorKind.TOTP else "webauthn"


def grant_for(prompt: Prompt, factor: WebAuthnFactor | TOTPFactor, **fields: Any) -> TokenGrant:
    """Return the grant of a passed ceremony a second after the prompt was asked."""
    issued_at = prompt.created_at + timedelta(seconds=1)
    values: dict[str, Any] = {
        "prompt": prompt,
        "factor_id": factor.id,
        "factor_kind": factor.kind,
        "nonce": secrets.token_bytes(16),
        "bucket": bucket_of(factor.kind),
        "event": event(EventName.VERIFIED, prompt_id=prompt.id, purpose=prompt.purpose),
        "issued_at": issued_at,
        "expires_at": issued_at + TTL,
    }
    if isinstance(factor, WebAuthnFactor):
        values |= {
            "expected_sign_count": factor.sign_count,
            "sign_count": factor.sign_count + 1,
            "backed_up": factor.backed_up,
        }
    else:
        values["time_step"] = factor.last_step + 1
    return TokenGrant(**{**values, **fields})


def shown_for(prompt: Prompt, reference: TokenReference, **fields: Any) -> Presentation:
    """Return an honest presentation of a token two seconds after the prompt was asked."""
    values: dict[str, Any] = {
        "reference": reference,
        "attempt": secrets.token_bytes(16),
        "workspace_id": prompt.workspace_id,
        "subject_id": prompt.subject_id,
        "subject_name": prompt.subject_name,
        "actor": prompt.actor,
        "client": prompt.client,
        "session": prompt.session,
        "ip": prompt.ip,
        "user_agent": prompt.user_agent,
        "purpose": prompt.purpose,
        "ttl": TTL,
        "minimum": FactorRequirement.ANY,
        "retention_years": 1,
        "request": prompt.request,
        "request_text": prompt.request.text(),
        "request_digest": prompt.request.digest(),
        "details": prompt.details,
        "details_digest": details_digest(prompt.details),
        "now": prompt.created_at + timedelta(seconds=2),
    }
    return Presentation(**{**values, **fields})


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A token that somebody holds, with the prompt and the factor behind it."""

    prompt: Prompt
    factor: WebAuthnFactor | TOTPFactor
    reference: TokenReference

    def shown(self, **fields: Any) -> Presentation:
        """Return an honest presentation, or one that is off in the given fields."""
        return shown_for(self.prompt, fields.pop("reference", self.reference), **fields)


async def enrol(
    store: HotState, subject: Subject = OWNER, factor: WebAuthnFactor | TOTPFactor | None = None
) -> WebAuthnFactor | TOTPFactor:
    """Enrol a factor (a passkey where none is given)."""
    factor = factor or passkey()
    told = event(EventName.FACTOR_ENROLLED, workspace_id=subject.workspace_id, subject_id=subject.id)
    if isinstance(factor, WebAuthnFactor):
        assert await store.records.add_webauthn_factor(subject.workspace_id, subject.id, factor, event=told)
        return factor
    further = bool(await store.records.list_factors(subject.workspace_id, subject.id))
    pending = enrolment(
        subject,
        basis=EnrolmentBasis.STEP_UP if further else EnrolmentBasis.SIGN_IN,
        begun_at=NOW + 60 * MINUTE,  # whenever the others were
        encrypted_secret=factor.encrypted_secret,
    )
    await store.records.begin_enrolment(pending, now=NOW)
    assert await store.records.add_totp_factor(subject.workspace_id, subject.id, factor, begun=pending, event=told)
    return factor


def enrolment(subject: Subject = OWNER, kind: FactorKind = FactorKind.TOTP, **fields: Any) -> Enrolment:
    """Return an enrolment that has begun."""
    values: dict[str, Any] = {
        "id": secrets.token_urlsafe(16),
        "workspace_id": subject.workspace_id,
        "subject_id": subject.id,
        "session": subject.session,
        "kind": kind,
        "basis": EnrolmentBasis.SIGN_IN,
        "ip": IP,
        "begun_at": NOW,
        "expires_at": NOW + 10 * MINUTE,
    }
    return Enrolment(**{**values, **fields})


async def ask(store: HotState, subject: Subject = OWNER, purpose: Purpose = TRANSMIT, **fields: Any) -> Prompt:
    """Ask for a prompt that must be issued."""
    prompt = await store.ask(asked(subject, purpose, **fields), open_limit=1000)
    assert isinstance(prompt, Prompt)
    return prompt


async def hold(
    store: HotState,
    subject: Subject = OWNER,
    purpose: Purpose = TRANSMIT,
    *,
    factor: WebAuthnFactor | TOTPFactor | None = None,
    **fields: Any,
) -> Held:
    """Enrol, ask, prove: return a token that was issued. ``fields`` are the prompt's."""
    factor = factor or await enrol(store, subject)
    prompt = await ask(store, subject, purpose, **fields)
    reference = await store.issue_token(grant_for(prompt, factor))
    assert isinstance(reference, TokenReference)
    return Held(prompt=prompt, factor=factor, reference=reference)


async def hold_many(store: HotState, count: int, subject: Subject = OWNER) -> list[Held]:
    """Return so many tokens of one person, each by its own prompt and the same counterless passkey."""
    factor = await enrol(store, subject, passkey(sign_count=0))
    held = []
    for _ in range(count):
        prompt = await ask(store, subject)
        reference = await store.issue_token(grant_for(prompt, factor, sign_count=0))
        assert isinstance(reference, TokenReference)
        held.append(Held(prompt=prompt, factor=factor, reference=reference))
    return held


async def all_records(store: HotState) -> list[AuditRecord]:
    """Return the whole log, oldest first."""
    return [record async for record in follow(store)]


async def follow(store: HotState) -> AsyncIterator[AuditRecord]:
    """Yield the log from its beginning to its present end."""
    after = 0
    while page := await store.records.audit_after(None, AuditFilter(), after=after, limit=500):
        for record in page:
            yield record
        after = page[-1].seq


async def names_of(store: HotState) -> list[EventName]:
    """Return the names of all events, oldest first."""
    return [record.event for record in await all_records(store)]


async def last_record(store: HotState) -> AuditRecord:
    """Return the newest record."""
    page = await store.records.audit_page(None, AuditFilter(), before=None, limit=1)
    return page.events[0]


async def assert_records_hold(store: HotState, macs: RowMacs = MACS) -> None:
    """Fail unless every record is as it was sealed, in the order of the log, and each column is what its body says."""
    after, ids = 0, set[str]()
    while page := await store.records.stored_records(after=after, limit=500):
        for record in page:
            assert record.seq > after
            after = record.seq
            assert macs.holds(RECORD, {"id": record.id, "entry": record.entry}, record.mac)
            event = read_record(record.body)
            entry = entry_of(record.body, at=event.at, retention_years=event.retention_years)
            assert record.entry == entry.text
            told = event.as_event()
            columns = (told.workspace_id, told.subject_id, event.event, event.outcome, told.purpose, told.prompt_id)
            texts = tuple(str(text).replace("\0", "\ufffd") for text in (*columns, told.factor_id))
            kept = (record.workspace, record.subject, record.event, record.outcome, record.purpose, record.prompt)
            assert tuple(text.replace("\0", "\ufffd") for text in (*kept, record.factor)) == texts
            assert (record.token, record.at) == (told.token_id, to_micros(event.at))
            assert (record.person, record.held) == (person_concerned(told), held_until(told))
            assert record.id not in ids
            ids.add(record.id)


def won(answers: list[Redemption]) -> int:
    """Return how many presentations redeemed their token."""
    return sum(answer.decision.verdict is Verdict.REDEEMED for answer in answers)


def row_of(answer: Redemption) -> TokenRow:
    """Return the row that a store answered with."""
    assert answer.row is not None
    return answer.row
