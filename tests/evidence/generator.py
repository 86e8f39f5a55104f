"""Whole step-ups with real signatures, logged in memory: bundles by the thousand.

The rules that make prompts, events and challenges are the library's; only the store is a list.
"""

from __future__ import annotations

import random
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from stepup_middleware.core.approvals import Decider, approval_data, approval_description
from stepup_middleware.core.audit import read_record
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.batches import BatchCommitment
from stepup_middleware.core.binding import BoundRequest, Details
from stepup_middleware.core.challenge import commit, describe
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.factors import EnrolledFactor, FactorKind
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.prompts import Prompt, PromptRequest, ask, asking_event, prompt_event
from stepup_middleware.core.purposes import PLATFORM_PURPOSES, Purpose
from stepup_middleware.core.subject import Subject
from stepup_middleware.request.body import content_digest
from stepup_middleware.testing import EDDSA, ES256, RS256, VirtualAuthenticator, VirtualCredential

RP_ID = "example.com"
ORIGIN = "https://example.com"
ORIGINS = (ORIGIN, "https://admin.example.com:8443")
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
WORDS = ("2026-06", "USD 412,908.77", "214", "Zoë Ångström", "名前", 'a"b\\c', "", "<b>", "\u2028", "e\u0301")


@dataclass(frozen=True)
class Key:
    """An enrolled credential and the authenticator that holds it."""

    authenticator: VirtualAuthenticator
    credential: VirtualCredential
    kind: FactorKind
    factor_id: str


def make_key(kind: FactorKind, algorithm: int, number: int) -> Key:
    """Make a credential as a registration would leave it."""
    hardware = kind is FactorKind.HARDWARE_KEY
    make = VirtualAuthenticator.hardware_key if hardware else VirtualAuthenticator.passkey
    authenticator = make(algorithms=(algorithm,))
    options = {
        "rp": {"id": RP_ID},
        "user": {"id": "dXNlcg"},
        "challenge": "AAAAAAAAAAAAAAAAAAAAAA",
        "pubKeyCredParams": [{"alg": algorithm}],
        "authenticatorSelection": {"residentKey": "required"},
    }
    authenticator.create(options, origin=ORIGIN)
    return Key(authenticator, authenticator.credentials[0], kind, f"factor-{number}")


def make_keys() -> list[Key]:
    """Make one key of every kind and algorithm; RSA takes a moment, so do it once."""
    kinds = (FactorKind.PASSKEY, FactorKind.HARDWARE_KEY)
    return [
        make_key(kind, algorithm, 10 * at + nth)
        for at, kind in enumerate(kinds)
        for nth, algorithm in enumerate((ES256, EDDSA, RS256))
    ]


@dataclass
class Log:
    """An audit log in memory."""

    records: list[AuditRecord] = field(default_factory=list)

    def append(self, event: AuditEvent) -> AuditRecord:
        record = read_record(event.body(), seq=len(self.records) + 1)
        self.records.append(record)
        return record


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class Generator:
    """Makes step-ups of every sort from one seed."""

    def __init__(self, seed: int, keys: Sequence[Key]) -> None:
        self.random = random.Random(seed)  # noqa: S311 - which cases are tried, not keys
        self.keys = keys
        self.now = START
        self.count = 0

    def _later(self, seconds: float = 5.0) -> datetime:
        self.now += timedelta(microseconds=self.random.randint(1, int(seconds * 1_000_000)))
        return self.now

    def _noise(self, log: Log, retention_years: int) -> None:
        for _ in range(self.random.choice((0, 0, 1, 3))):
            name = self.random.choice((EventName.BLOCKED, EventName.FAILED, EventName.POLICY_CHANGED))
            log.append(
                AuditEvent(
                    at=self._later(0.1), name=name, workspace_id="other", subject_id="somebody",
                    prompt_id=f"foreign-{self.random.randrange(10**6)}", retention_years=retention_years,
                )
            )  # fmt: skip

    def asked(self) -> tuple[PromptRequest, Purpose]:
        choose = self.random.choice
        self.count += 1
        purpose = choose(PLATFORM_PURPOSES)
        number = self.random.randrange(1000)
        details: Details = tuple((choose(WORDS), choose(WORDS)) for _ in range(self.random.randrange(4)))
        request = BoundRequest(
            method=choose(("POST", "DELETE", "PUT")),
            path=choose(("/hcm/payroll/7/transmit", "/x/é", "/a b")),
            query=choose(("", "a=1&b=%2F")),
            content_digest=choose((None, content_digest(b"a" * 32))),
        )
        subject = Subject(
            id=f"user-{number}", session_id=f"session-{number}", workspace_id="axis", name="Ada Ünal",
            actor=choose(("", "Agent Ünal")), client=choose(("", "CLI 1.0")),
        )  # fmt: skip
        asked = PromptRequest(
            prompt_id=f"prompt-{self.count}-{number}", subject=subject, ip="192.0.2.7", user_agent="Browser/1",
            purpose=purpose, request=request, details=details, locale="en", now=self._later(),
            title=purpose.authorize_title, consequence=choose(WORDS),
        )  # fmt: skip
        return asked, purpose

    def enrol(self, log: Log, asked: PromptRequest, key: Key) -> AuditRecord:
        return log.append(self.enrolled(asked, key))

    def enrolled(self, asked: PromptRequest, key: Key) -> AuditEvent:
        credential = key.credential
        subject = asked.subject
        return AuditEvent(
            at=asked.now - timedelta(seconds=self.random.randint(0, 10**7)),
            name=EventName.FACTOR_ENROLLED,
            workspace_id=subject.workspace_id, subject_id=subject.id, subject_name=subject.name,
            session=subject.session, ip=asked.ip, factor_kind=key.kind, factor_id=key.factor_id,
            data={
                "name": "Key",
                "credential_id": credential.credential_id.hex(),
                "public_key": credential.public_key.hex(),
                "algorithm": credential.algorithm,
                "aaguid": "00000000-0000-0000-0000-000000000000",
                "attestation_format": "none",
                "backup_eligible": key.authenticator.backup_eligible,
                "rp_id": RP_ID,
            },
        )  # fmt: skip

    def proof(self, prompt: Prompt, key: Key, decider: Decider | None = None, **deviations: Any) -> dict[str, Any]:
        """Return the proof of a prompt: its own, or that of several which the person answered as one question.

        ``decider`` is where the person approved what a program asked, always alone.
        """
        signed = prompt.description() if decider is None else approval_description(prompt, decider)
        nonce, description = self.random.randbytes(32), describe(signed)
        challenge, more = commit(nonce, description), {}
        if decider is None and self.random.random() < 0.3:
            others = [replace(prompt, id=f"{prompt.id}-{at}") for at in range(self.random.choice((0, 1, 2, 49)))]
            together = tuple(self.random.sample([prompt, *others], 1 + len(others)))
            batch = BatchCommitment(nonce, together, self.random.choice((None, ("Total", "USD 7"))))
            nonce, challenge, item = batch.nonce, batch.challenge(), batch.items()[prompt.id]
            hashes = [b64(each) for each in item.hashes]
            more = {"batch": {"salt": b64(item.salt), "hashes": hashes, "total": b64(item.total)}}
        credential = key.credential
        options = {
            "rpId": RP_ID,
            "challenge": b64(challenge),
            "allowCredentials": [{"id": b64(credential.credential_id)}],
        }
        response = key.authenticator.get(options, origin=self.random.choice(ORIGINS), **deviations)["response"]
        return {
            "type": "webauthn",
            "nonce": b64(nonce),
            "description": description.decode(),
            "authenticator_data": response["authenticatorData"],
            "client_data_json": response["clientDataJSON"],
            "signature": response["signature"],
            "credential_id": b64(credential.credential_id),
            "public_key": b64(credential.public_key),
            "algorithm": credential.algorithm,
            "rp_id": RP_ID,
            "origins": list(ORIGINS),
            **more,
        }

    def step_up(
        self,
        *,
        key: Key | None = None,
        plain: bool = False,
        overtaken: bool = False,
        elsewhere: bool | None = None,
        **deviations: Any,
    ) -> tuple[Log, list[AuditRecord], AuditRecord | None]:
        """Return a log, the records of one step-up in it, and the enrolment of its factor.

        ``plain``: a WebAuthn proof, an action that ran and ended. Otherwise all sorts: no
        proof, no action, a one-time password. ``overtaken``: another node logged a replay first.
        ``elsewhere``: a program asked, and the person approved in another session (None: some of them).
        """
        roll = self.random.random
        elsewhere = roll() < 0.3 if elsewhere is None else elsewhere
        phone = Decider(session=self.random.randbytes(32).hex(), ip="198.51.100.9", user_agent="Phone/1")
        decider = phone if elsewhere else None
        key = key or self.random.choice(self.keys)
        totp = not plain and roll() < 0.1
        log = Log()
        asked, purpose = self.asked()
        if totp:
            purpose = next(each for each in PLATFORM_PURPOSES if each.id == "webhook_secret_rotation")
            asked = replace(asked, purpose=purpose)
        years = purpose.retention_years
        self._noise(log, 1)
        enrolment = None if totp else self.enrol(log, asked, key)
        self._noise(log, years)
        kind, factor_id = (FactorKind.TOTP, "factor-totp") if totp else (key.kind, key.factor_id)
        prompt = ask(asked, StoredPolicy(version=3), [EnrolledFactor(factor_id, kind)])
        assert isinstance(prompt, Prompt)
        events = [log.append(asking_event(asked, prompt))]

        def add(name: EventName, **fields: Any) -> None:
            self._noise(log, years)
            event = prompt_event(prompt, name, now=self._later(), retention_years=years, **fields)
            events.append(log.append(event))

        if roll() < 0.2:
            add(EventName.FAILED, reason="wrong_code")
        if plain or roll() > 0.05:
            proof = (
                {"type": "totp", "time_step": 59_000_000, "independently_verifiable": False}
                if totp
                else self.proof(prompt, key, decider, **deviations)
            )
            approved = {} if decider is None else {"approval": approval_data(prompt, decider)}
            proved: dict[str, Any] = {"factor_kind": kind, "factor_id": factor_id}
            data = {
                "acr": "mfa" if totp else "phr",
                "amr": list(kind.amr),
                "factor_name": "Key",
                "proof": proof,
                **approved,
            }
            add(EventName.VERIFIED, **proved, data=data)
            replay: dict[str, Any] = {"reason": "redeemed_before", "flags": ("redeemed_before",)}
            if overtaken:
                add(EventName.REUSED, **proved, **replay)
            if plain or roll() > 0.05:
                add(EventName.ACTION_AUTHORIZED, **proved)
                if roll() < 0.1:
                    did = self.random.choice(
                        (EventName.FACTORS_RESET, EventName.ENROLMENT_PASS_ISSUED, EventName.POLICY_CHANGED)
                    )
                    whom = {"person": "bob", "person_name": "Bob", "why": "lost key"}
                    weaker = {"from": "phishing_resistant", "to": "any"}
                    add(did, data=weaker if did is EventName.POLICY_CHANGED else whom)
                if plain or roll() < 0.8:
                    add(EventName.ACTION_COMPLETED, **proved, request=None, data={"status": 200, "outcome": "returned"})
                if roll() < 0.1:
                    add(EventName.REUSED, **proved, **replay)
        else:
            enrolment = None
        self._noise(log, years)
        return log, events, enrolment
