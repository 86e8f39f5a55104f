"""A person's own side of recovery: an enrolment pass, a recovery code, and a new set of codes.

Either opens the right to enrol one factor, for ten minutes, in this session and from this address, and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from stepup_middleware.core.attempts import AttemptLimit
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import EnrolmentBasis
from stepup_middleware.core.moments import iso
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.purposes import FACTOR_CHANGE, Catalogue
from stepup_middleware.core.recovery import (
    CODE_BITS,
    CODES,
    PASS_BITS,
    RIGHT_LIFETIME,
    EnrolmentRight,
    Hold,
    Person,
    RecoveryCodes,
    is_shielded,
    pass_digest,
    read_secret,
    written_secret,
)
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.texts import Text, marked
from stepup_middleware.stores.records import Records

from .factors import BY_ACTOR
from .notices import person_language
from .recovery_rules import RecoveryRules
from .redemption import whole_seconds
from .refusal_throttle import RefusalThrottle
from .requester import Requester

Beside = Callable[[Awaitable[list[bytes]]], Awaitable[list[bytes]]]
BUCKET = "recovery_code"
# Nobody guesses 70 random bits: this bounds what false codes cost. It never closes for good, or anybody who holds the
# session could take the way back from its owner.
CODE_LIMIT = AttemptLimit(failures=5, pause=timedelta(minutes=1), longest=timedelta(hours=1), disable_at=None)
_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}  # 16 MiB, about 40 ms
_AT_ONCE = 4  # hashes, of all requests of this process

_NO_PASS = Refusal(
    code=RefusalCode.VERIFICATION_FAILED,
    detail=marked(
        "This is no whole pass: it has seven groups of four letters and digits. Compare it with the one you were "
        "given. This did not count as an attempt."
    ),
)
_PASS_REFUSED = Refusal(
    code=RefusalCode.VERIFICATION_FAILED,
    detail=marked(
        "This pass opens nothing: it may have been used, replaced or typed wrongly too often, have expired, or be for "
        "somebody else. Ask an admin of your workspace for a new one."
    ),
)
_NO_CODE = Refusal(
    code=RefusalCode.VERIFICATION_FAILED,
    detail=marked(
        "This is no whole recovery code: it has four groups of four letters and digits. Compare it with your list. "
        "This did not count as an attempt."
    ),
)
_CODE_REFUSED = Refusal(
    code=RefusalCode.VERIFICATION_FAILED,
    detail=marked(
        "This recovery code opens nothing: each works once, and a new list makes the one before worthless. Try another "
        "one, or ask an admin of your workspace."
    ),
)
_NO_CODES_HERE = Refusal(
    code=RefusalCode.FACTOR_NOT_FOUND,
    detail=marked("There are no recovery codes here. Ask an admin of your workspace for help."),
)
_YOUNGER = marked(
    "Your factors were reset, or a recovery code was used. So that nobody can lock you out, a factor that was added "
    "since takes nothing older away until %(moment)s. Confirm with an older factor, or come back then."
)
_NO_FACTOR = Refusal(
    code=RefusalCode.FACTOR_CONFLICT,
    detail=marked("Add a factor first: recovery codes are for the time after you lose it."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The right that a pass or code opened; ``left`` is how many codes are left, None after a pass."""

    right: EnrolmentRight
    left: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCodes:
    """A new set of recovery codes, shown once."""

    codes: tuple[str, ...] = field(repr=False)


class RecoveryService:
    """Takes passes and recovery codes. Every answer that is not a result is a ``Refusal``."""

    def __init__(
        self, *, store: Records, catalogue: Catalogue, rules: RecoveryRules, throttle: RefusalThrottle
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._throttle = throttle
        self._hashing = asyncio.Semaphore(_AT_ONCE)
        self.rules = rules

    async def meet(self, requester: Requester) -> None:
        """Remember a person's name and login, by which admins find them."""
        subject = requester.subject
        person = Person(subject_id=subject.id, name=subject.name, login=subject.login)
        if await self._store.get_person(subject.workspace_id, subject.id) != person:
            await self._store.note_person(subject.workspace_id, person)

    async def right_of(self, requester: Requester) -> EnrolmentRight | None:
        """Return the right that this session has from this address now."""
        subject = requester.subject
        right = await self._store.enrolment_right(subject.workspace_id, subject.id)
        if right is None or not right.serves(subject.session, requester.ip, requester.now):
            return None
        return right

    async def hold_of(self, requester: Requester) -> Hold | None:
        """Return the hold on a person now, None where there is none."""
        subject = requester.subject
        return await self._store.hold_of(subject.workspace_id, subject.id, now=requester.now)

    async def take_pass(self, requester: Requester, typed: object) -> Opened | Refusal:
        """Take an enrolment pass. Wrong ones are counted on the person's own pass, which bears five."""
        if requester.subject.actor:
            return BY_ACTOR
        if not self.rules.first_factor.takes_pass:
            return _PASS_REFUSED
        secret = read_secret(typed, PASS_BITS)
        if secret is None:
            return _NO_PASS
        right = self._right(requester, EnrolmentBasis.PASS)
        event = requester.event(
            EventName.ENROLMENT_PASS_USED, retention_years=self._retention, data={"until": iso(right.expires_at)}
        )
        refused = await self._store.take_pass(pass_digest(secret), right=right, event=event, now=requester.now)
        if refused is None:
            return Opened(right=right)
        await self._failed(requester, refused.value)
        return _PASS_REFUSED

    async def use_code(self, requester: Requester, typed: object, beside: Beside) -> Opened | Refusal:
        """Use a recovery code: strong purposes are closed to the person for a while from then on.

        ``beside`` awaits the hashing, which takes nothing of the time that the store has.
        """
        if requester.subject.actor:
            return BY_ACTOR
        if not self.rules.recovery_codes:
            return _NO_CODES_HERE
        secret = read_secret(typed, CODE_BITS)
        if secret is None:
            return _NO_CODE
        subject = requester.subject
        person = (subject.workspace_id, subject.id)
        closed = await self._store.reserve_attempt(*person, BUCKET, limit=CODE_LIMIT, now=requester.now)
        if closed is not None:
            await self._failed(requester, "rate_limited")
            return Refusal(code=RefusalCode.RATE_LIMITED, retry_after_seconds=whole_seconds(closed.retry_after))
        codes = await self._store.recovery_codes(*person)
        number = None if codes is None else codes.number_of((await beside(self._hashes([secret], codes.salt)))[0])
        if codes is None or number is None or number in codes.used:
            await self._failed(requester, "recovery_code_unknown" if number is None else "recovery_code_used")
            return _CODE_REFUSED
        right = self._right(requester, EnrolmentBasis.RECOVERY)
        hold = self.rules.hold(*person, requester.now)
        left = codes.left - 1
        data = {**person_language(requester), "left": left, "hold_until": None if hold is None else iso(hold.until)}
        event = requester.event(EventName.RECOVERY_CODE_USED, retention_years=self._retention, data=data)
        if not await self._store.use_recovery_code(
            codes.id, number, right=right, hold=hold, bucket=BUCKET, event=event
        ):
            await self._failed(requester, "recovery_code_used")  # by somebody who was faster
            return _CODE_REFUSED
        return Opened(right=right, left=left)

    async def codes_left(self, requester: Requester) -> int | None:
        """Return how many recovery codes a person can still use; None where there are none."""
        if not self.rules.recovery_codes:
            return None
        codes = await self._store.recovery_codes(requester.subject.workspace_id, requester.subject.id)
        return None if codes is None else codes.left

    async def may_renew(self, requester: Requester) -> Refusal | None:
        """Refuse recovery codes where there are none, or to a person who has no factor to lose, or to their actor."""
        if requester.subject.actor:
            return BY_ACTOR
        if not self.rules.recovery_codes:
            return _NO_CODES_HERE
        subject = requester.subject
        return None if await self._store.list_factors(subject.workspace_id, subject.id) else _NO_FACTOR

    async def shielded(self, requester: Requester, made_at: datetime, proof: Proof) -> Refusal | None:
        """Refuse to take away, during a hold, what is older than the factor that proved it (``is_shielded``)."""
        hold = await self.hold_of(requester)
        if hold is None:
            return None
        factors = await self._store.list_factors(requester.subject.workspace_id, requester.subject.id)
        proved_with = next((factor.created_at for factor in factors if factor.id == proof.factor_id), None)
        if proved_with is not None and not is_shielded(made_at, proved_with):
            return None
        data = {"until": iso(hold.until)}
        blocked = requester.event(EventName.BLOCKED, purpose=proof.purpose, reason="on_hold", data=data)
        await self._throttle.log(requester.subject, blocked)
        return Refusal(
            code=RefusalCode.FACTOR_INSUFFICIENT,
            title=marked("Closed for a while"),
            detail=Text(_YOUNGER, {"moment": hold.until}),
            purpose=FACTOR_CHANGE,
            requirement=proof.requirement,
            until=hold.until,
        )

    async def renew_codes(self, requester: Requester, proof: Proof, beside: Beside) -> NewCodes | Refusal:
        """Make a new set of codes in the place of the one before, by a step-up, for which the caller asked.

        ``beside`` as for ``use_code``.
        """
        if refusal := await self.may_renew(requester):
            return refusal
        before = await self._store.recovery_codes(requester.subject.workspace_id, requester.subject.id)
        if before is not None and (refusal := await self.shielded(requester, before.made_at, proof)):
            return refusal
        shown = tuple(written_secret(secrets.randbits(CODE_BITS), CODE_BITS) for _ in range(CODES))
        salt = secrets.token_bytes(16)
        hashes = await beside(self._hashes([code.replace("-", "") for code in shown], salt))
        subject = requester.subject
        codes = RecoveryCodes(
            id=secrets.token_urlsafe(12),
            workspace_id=subject.workspace_id,
            subject_id=subject.id,
            made_at=requester.now,
            salt=salt,
            hashes=tuple(hashes),
        )
        event = requester.event(
            EventName.RECOVERY_CODES_ISSUED, retention_years=self._retention, data={"number": CODES}
        )
        return NewCodes(codes=shown) if await self._store.put_recovery_codes(codes, event=event) else _NO_FACTOR

    async def _hashes(self, secrets: Sequence[str], salt: bytes) -> list[bytes]:
        """Hash codes beside the loop (NIST SP 800-63B-4 §3.1.2.2: salted and slow below 112 bits)."""

        async def hashed(secret: str) -> bytes:
            async with self._hashing:
                return await asyncio.to_thread(_scrypt, secret, salt)

        return await asyncio.gather(*map(hashed, secrets))

    @property
    def _retention(self) -> int:
        return self._catalogue.factor_retention_years

    @staticmethod
    def _right(requester: Requester, basis: EnrolmentBasis) -> EnrolmentRight:
        subject = requester.subject
        return EnrolmentRight(
            workspace_id=subject.workspace_id,
            subject_id=subject.id,
            session=subject.session,
            ip=requester.ip,
            basis=basis,
            expires_at=requester.now + RIGHT_LIFETIME,
        )

    async def _failed(self, requester: Requester, reason: str) -> None:
        failed = requester.event(EventName.FAILED, reason=reason, data={"ceremony": "recovery"})
        await self._throttle.log(requester.subject, failed)


def _scrypt(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, **_SCRYPT)
