"""Every exception of the library, by whose fault it is.

::

    StepUpError
    ├── ConfigurationError        the operator's fault; raised at start-up, before a request is served
    ├── StepUpRequired            control flow: the gate stops the request, the middleware answers (``core.refusals``)
    ├── CeremonyError             the person's (or an attacker's) proof did not hold; ``reason`` is for the log
    ├── PolicyError               a policy write that must not be saved
    ├── EvidenceError             evidence cannot be made of this step-up now: no leaf yet, or no signed checkpoint
    ├── TooManyFollowers          the log is followed in as many places as are served at once
    └── StoreError                the store cannot be used; wraps the driver's error once, at the edge
        └── StoreTimeoutError     the store answered too late

Nothing here is parsed by its sentence: callers branch on the class and on ``reason``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class StepUpError(Exception):
    """Base of all errors that the library raises on purpose."""


class ConfigurationError(StepUpError):
    """The set-up cannot be served safely. Raised when it is built, so that the start fails."""


class FailureReason(StrEnum):
    """Why a ceremony failed. Goes to the audit log, never to the person (PSD2 RTS 4(3)(a))."""

    MALFORMED = "malformed"
    CHALLENGE_USED = "challenge_used"
    CHALLENGE_EXPIRED = "challenge_expired"
    CHALLENGE_MISMATCH = "challenge_mismatch"
    WRONG_TYPE = "wrong_type"
    WRONG_ORIGIN = "wrong_origin"
    CROSS_ORIGIN = "cross_origin"
    WRONG_RP_ID = "wrong_rp_id"
    CREDENTIAL_NOT_ALLOWED = "credential_not_allowed"
    WRONG_USER_HANDLE = "wrong_user_handle"
    NO_USER_PRESENCE = "no_user_presence"
    NO_USER_VERIFICATION = "no_user_verification"
    BACKUP_STATE_INVALID = "backup_state_invalid"
    BACKUP_ELIGIBILITY_CHANGED = "backup_eligibility_changed"
    BAD_SIGNATURE = "bad_signature"
    CLONE_SUSPECTED = "clone_suspected"
    UNSUPPORTED_KEY = "unsupported_key"
    CREDENTIAL_ID_INVALID = "credential_id_invalid"
    KIND_MISMATCH = "kind_mismatch"
    WRONG_CODE = "wrong_code"
    CODE_REPLAYED = "totp_replay"
    FACTOR_INSUFFICIENT = "factor_insufficient"
    FACTOR_REMOVED = "factor_removed"
    FACTOR_NOT_ALLOWED = "factor_not_allowed"
    WRONG_IP = "ip"
    WRONG_HOLDER = "wrong_holder"
    WRONG_DIGITS = "wrong_digits"
    RATE_LIMITED = "rate_limited"


class CeremonyError(StepUpError):
    """A registration or authentication ceremony did not hold.

    ``reason`` is the one fact for the audit log. The public sentence is the same for all of them.
    """

    def __init__(self, reason: FailureReason, note: str = "") -> None:
        super().__init__(f"{reason.value}: {note}" if note else reason.value)
        self.reason = reason
        self.note = note


class NotPermitted(StepUpError):
    """What somebody asked for is not theirs to do, or cannot be done. ``reason`` is the sentence for them, in English.

    In their language it is ``texts(error.message, **error.values)``, with the ``Texts`` of ``stepup.languages``.
    """

    message: str
    values: Mapping[str, object]
    reason: str

    def __init__(self, message: str, /, **values: object) -> None:
        self.message = message
        self.values = values
        self.reason = message % values if values else message
        super().__init__(self.reason)


class PolicyError(NotPermitted):
    """A policy write that must not be saved."""


class TooManyFollowers(StepUpError):
    """The log is followed in as many places as are served at once: by one person, or in all. Come back later."""


class StoreError(StepUpError):
    """The store cannot be used now; nothing was decided in the caller's favour."""


class StoreTimeoutError(StoreError):
    """The store did not answer within its timeout. The outcome is unknown and treated as a refusal."""


class EvidenceError(StepUpError):
    """Evidence cannot be made of this step-up now; the message says why, and what to do."""
