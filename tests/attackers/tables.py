"""Every table of the schema, by how it is guarded against somebody who writes to it and has no key."""

from __future__ import annotations

from collections.abc import Mapping

from stepup_middleware.log.records import RowKind
from stepup_middleware.stores.approval_rows import APPROVALS
from stepup_middleware.stores.recovery_rows import CODES, PASSES, PEOPLE, REQUESTS, RIGHTS
from stepup_middleware.stores.sealing import (
    ENROLMENTS,
    FACTOR_COLUMNS,
    HANDLES,
    KEYS,
    POLICIES,
    PROMPTS,
    TOKEN_COLUMNS,
)

# of which `stepup audit verify` says whether they are whole
LOG = ("audit", "leaves", "tiles", "trees", "checkpoints")

_SEALED: tuple[RowKind, ...] = (
    HANDLES, POLICIES, PROMPTS, ENROLMENTS, KEYS, PASSES, RIGHTS, CODES, REQUESTS, PEOPLE,
    APPROVALS,
)  # fmt: skip
# whose rows have a MAC, by the columns that it covers
SEALED: Mapping[str, tuple[str, ...]] = {
    "factors": FACTOR_COLUMNS,
    "tokens": TOKEN_COLUMNS,
    **{kind.table: kind.columns for kind in _SEALED},
}

# columns that no MAC covers, and why that is right
UNCOVERED: Mapping[str, Mapping[str, str]] = {
    "factors": {
        **dict.fromkeys(("name", "last_used_at", "backed_up", "transports"), "what people and browsers are told"),
        "last_step": "an older one is as authentic: the log has each use",
    },
    "people": {"last_step": "an older one is as authentic: the log has each use"},
    "prompts": {
        "number": "the order of a purge",
        "epoch": "an earlier one ends the prompt",
        "state": "a prompt is proved once by the log, whatever this says",
        "token": "what a sign-out ends",
        **dict.fromkeys(
            ("challenge_nonce", "challenge_factors", "challenge_expires_at"),
            "a factor that counts signs nonce and question, and brings one token by the log",
        ),
    },
    "approvals": {
        "epoch": "an earlier one ends the approval",
        "changed": "when who waits looks again",
    },
    "tokens": {
        "id": "the token that people carry is signed over id and nonce",
        "state": "a token is redeemed once by the log, whatever this says",
        "revoked": "why",
        **dict.fromkeys(
            ("batch", "attempt", "redeemed_at", "redeemed_ip", "redeemed_user_agent", "replays", "presenters"),
            "what is told of it once it is redeemed",
        ),
    },
}

# tables without a MAC, and why that is right
UNSEALED: Mapping[str, str] = {
    "meta": "an earlier epoch is as authentic, and what it revives lives for a minute or a few",
    "schema_version": "another schema is refused",
    "refused_sessions": "counts of a flood",
    "attempts": "a row that is gone is as authentic as one that never was: the log has each attempt",
    "deliveries": "what sinks are still to be told; the records themselves are in the log",
}
