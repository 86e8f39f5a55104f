"""One honest value of each kind, from which a test departs, and strategies that generate more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from stepup_middleware.core.binding import BoundRequest, Reached, details_digest
from stepup_middleware.core.decisions import Presentation, TokenRow, TokenState
from stepup_middleware.core.factors import FactorKind, FactorRequirement
from stepup_middleware.core.prompts import PromptRequest
from stepup_middleware.core.purposes import PLATFORM_PURPOSES, Purpose
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.request.body import content_digest

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TTL = timedelta(seconds=60)
REFERENCE = TokenReference(7, bytes(range(16)))
REQUEST = BoundRequest(method="POST", path="/hcm/payroll/7/transmit", query="a=1")
DETAILS = (("Run", "2026-06"), ("Employees", "214"))
SUBJECT = Subject(id="ada", session_id="session-1", workspace_id="axis", name="Ada")
PURPOSES = {purpose.id: purpose for purpose in PLATFORM_PURPOSES}
PAYROLL = PURPOSES["payroll_ach_transmit"]
WEBHOOK = PURPOSES["webhook_secret_rotation"]

ROW = TokenRow(
    reference=REFERENCE,
    state=TokenState.ISSUED,
    prompt_id="prompt-1",
    workspace_id=SUBJECT.workspace_id,
    subject_id=SUBJECT.id,
    session=SUBJECT.session,
    ip="192.0.2.7",
    purpose=PAYROLL.id,
    requirement=FactorRequirement.PHISHING_RESISTANT,
    policy_version=3,
    request_digest=REQUEST.digest(),
    details_digest=details_digest(DETAILS),
    factor_id="factor-1",
    factor_kind=FactorKind.PASSKEY,
    issued_at=NOW,
    expires_at=NOW + TTL,
)
SHOWN = Presentation(
    reference=REFERENCE,
    attempt=bytes(range(16, 32)),
    workspace_id=SUBJECT.workspace_id,
    subject_id=SUBJECT.id,
    subject_name=SUBJECT.name,
    actor="",
    client="",
    session=SUBJECT.session,
    ip="192.0.2.7",
    user_agent="Browser/1",
    purpose=PAYROLL.id,
    ttl=TTL,
    minimum=FactorRequirement.PHISHING_RESISTANT,
    retention_years=1,
    request=REQUEST,
    request_text=REQUEST.text(),
    request_digest=REQUEST.digest(),
    details=DETAILS,
    details_digest=details_digest(DETAILS),
    now=NOW + timedelta(seconds=10),
)


def asked(purpose: Purpose = PAYROLL, **changes: Any) -> PromptRequest:
    """Return a request for a prompt."""
    return replace(
        PromptRequest(
            prompt_id="prompt-1",
            subject=SUBJECT,
            ip="192.0.2.7",
            user_agent="Browser/1",
            purpose=purpose,
            request=REQUEST,
            details=DETAILS,
            locale="en",
            title=purpose.authorize_title,
            consequence=purpose.consequence,
            now=NOW,
        ),
        **changes,
    )


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
ascii_keys = st.text(st.characters(min_codepoint=0, max_codepoint=127), max_size=12)
instants = st.datetimes(
    min_value=datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(9999, 12, 31, 23, 59, 59),  # noqa: DTZ001 - likewise
    timezones=st.just(UTC),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(ascii_keys, inner, max_size=5),
    max_leaves=20,
)
methods = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "WEBSOCKET"])
lines = st.lists(st.tuples(names, texts), max_size=3).map(tuple)
bound_requests = st.builds(
    BoundRequest,
    method=methods,
    path=texts,
    query=texts,
    authority=st.lists(texts, max_size=2).map(tuple),
    fields=lines,
    content_digest=st.none() | st.binary(min_size=32, max_size=32).map(content_digest),
    boundary_replaced=st.booleans(),
    root_path=texts,
    reached=st.none()
    | st.builds(
        Reached,
        method=st.none() | methods,
        root_path=st.none() | texts,
        path=st.none() | texts,
        raw_path=st.none() | texts,
        query=st.none() | texts,
        authority=st.none() | st.lists(texts, max_size=2).map(tuple),
        fields=st.none() | lines,
        framework=st.none() | st.tuples(methods, texts),
        reading=st.none() | lines,
    ),
)
details_values = st.lists(st.tuples(texts, texts), max_size=6).map(tuple)


def redeemed(row: TokenRow, shown: Presentation) -> TokenRow:
    """Return the row as redeemed by this presentation."""
    return replace(
        row,
        state=TokenState.REDEEMED,
        attempt=shown.attempt,
        redeemed_at=shown.now,
        redeemed_ip=shown.ip,
        redeemed_user_agent=shown.user_agent,
    )
