"""The log in the words of others: NDJSON, CSV, OCSF and CAEP. Values in, values out."""

from __future__ import annotations

import json
from typing import Any

from .audit_record import AuditRecord
from .canonical import canonical_json
from .events import EventName, Outcome, Severity
from .factors import FactorKind
from .moments import to_micros
from .spreadsheets import defused

CSV_COLUMNS = (
    "seq", "at", "event", "severity", "outcome", "workspace", "subject", "subject_name", "actor", "client", "session",
    "ip", "user_agent", "purpose", "prompt", "factor", "requirement", "request", "details", "reason", "flags",
    "from", "to", "data",
)  # fmt: skip
"""The heads of the columns that ``csv_row`` fills, in order."""
OCSF_VERSION = "1.8.0"
CAEP_ASSURANCE_LEVEL_CHANGE = "https://schemas.openid.net/secevent/caep/event-type/assurance-level-change"


def record_as_dict(record: AuditRecord) -> dict[str, Any]:
    """Return a record with its place in the log and in the tree: one line of NDJSON."""
    place = {"seq": record.seq, "id": record.id, "log": record.log, "index": record.index, "entry": record.entry}
    return {**place, **json.loads(record.body)}


def csv_row(record: AuditRecord) -> list[str]:
    """Return a record as CSV cells in the order of ``CSV_COLUMNS``, none of which a spreadsheet takes for a formula."""
    fields = record_as_dict(record)
    request = fields["request"]
    fields["request"] = f"{request['@method']} {request['@path']}" if request else ""
    fields["details"] = "; ".join(f"{label}: {text}" for label, text in fields["details"])
    fields["flags"] = " ".join(fields["flags"])
    data = {name: value for name, value in fields["data"].items() if name != "proof"}
    fields |= {name: data.pop(name, "") for name in ("from", "to")}
    fields["data"] = canonical_json(data) if data else ""
    return [defused("" if fields[column] is None else str(fields[column])) for column in CSV_COLUMNS]


# OCSF, class Authentication (3002) of category Identity and Access Management (3)

_CLASS_UID = 3002
_CATEGORY_UID = 3
_LOGON, _PREAUTH, _OTHER = 1, 6, 99
_ACTIVITIES = {
    EventName.CHALLENGE_REQUESTED: (_PREAUTH, "Preauth"),
    EventName.VERIFIED: (_LOGON, "Logon"),
    EventName.FAILED: (_LOGON, "Logon"),
}
_SEVERITIES = {
    Severity.INFO: (1, "Informational"),
    Severity.WARNING: (3, "Medium"),
    Severity.CRITICAL: (5, "Critical"),
}
_STATUSES = {
    Outcome.PENDING: (99, "Other"),
    Outcome.SUCCESS: (1, "Success"),
    Outcome.FAILURE: (2, "Failure"),
    Outcome.DENIED: (2, "Failure"),
    Outcome.CANCELLED: (99, "Other"),
}
# the profile security_control: what was done about the request, and how it came out
_OBSERVED, _ALLOWED, _DENIED = (3, "Observed"), (1, "Allowed"), (2, "Denied")
_CONTROLS = {
    EventName.CHALLENGE_REQUESTED: (_OBSERVED, (23, "Challenge")),
    EventName.VERIFIED: (_ALLOWED, (1, "Allowed")),
    EventName.ACTION_AUTHORIZED: (_ALLOWED, (1, "Allowed")),
    EventName.FAILED: (_DENIED, (2, "Blocked")),
    EventName.BLOCKED: (_DENIED, (2, "Blocked")),
    EventName.REUSED: (_DENIED, (2, "Blocked")),
}
_FACTORS = {
    FactorKind.PASSKEY: (10, "WebAuthn"),
    FactorKind.HARDWARE_KEY: (6, "Hardware Token"),
    FactorKind.TOTP: (7, "OTP"),
}


def ocsf_event(record: AuditRecord, *, product: str = "stepup-middleware") -> dict[str, Any]:
    """Return a record as an OCSF 1.8 event of class Authentication (3002) with the profile security_control.

    Times are milliseconds since 1970. A reused token is Critical and an alert. Fields for which the class has no
    attribute, such as the purpose and the place in the tree, are in ``unmapped``. ``product`` names the app that the
    log is of.
    """
    activity_id, activity = _ACTIVITIES.get(record.event, (_OTHER, record.event.value))
    severity_id, severity = _SEVERITIES[record.severity]
    status_id, status = _STATUSES[record.outcome]
    (action_id, action), (disposition_id, disposition) = _control(record)
    event: dict[str, Any] = {
        "category_uid": _CATEGORY_UID,
        "category_name": "Identity & Access Management",
        "class_uid": _CLASS_UID,
        "class_name": "Authentication",
        "activity_id": activity_id,
        "activity_name": activity,
        "type_uid": _CLASS_UID * 100 + activity_id,
        "type_name": f"Authentication: {'Other' if activity_id == _OTHER else activity}",
        "time": to_micros(record.at) // 1000,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": record.outcome.value if status_id == _OTHER else status,
        "action_id": action_id,
        "action": action,
        "disposition_id": disposition_id,
        "disposition": disposition,
        "is_alert": record.event in (EventName.REUSED, EventName.DATABASE_ALTERED),
        "message": _message(record),
        "metadata": {
            "version": OCSF_VERSION,
            "product": {"name": product, "vendor_name": product},
            "uid": record.id,
            "sequence": record.seq,
            "event_code": record.event.value,
            "profiles": ["security_control"],
            "log_name": "stepup",
        },
        "service": {"name": product},
        "user": {"uid": record.subject_id, "name": record.subject_name, "org": {"uid": record.workspace_id}},
        "unmapped": _unmapped(record),
    }
    if record.prompt_id:
        event["metadata"]["correlation_uid"] = record.prompt_id
    if record.reason:
        event["status_detail"] = record.reason
    if record.actor or record.client:
        event["actor"] = _actor(record)
    if record.session:
        event["session"] = {"uid": record.session}
    if record.ip:
        event["src_endpoint"] = {"ip": record.ip}
    if record.factor_kind is not None:
        event["auth_factors"] = [_auth_factor(record.factor_kind)]
    event["is_mfa"] = record.factor_kind is not None
    if (request := _http_request(record)) is not None:
        event["http_request"] = request
    return event


def _control(record: AuditRecord) -> tuple[tuple[int, str], tuple[int, str]]:
    logged = (_OBSERVED, (17, "Logged"))
    return logged if record.outcome is Outcome.CANCELLED else _CONTROLS.get(record.event, logged)


def _auth_factor(kind: FactorKind) -> dict[str, Any]:
    type_id, name = _FACTORS[kind]
    return {"factor_type_id": type_id, "factor_type": name, "is_totp": kind is FactorKind.TOTP}


def _actor(record: AuditRecord) -> dict[str, Any]:
    """Return who acts for the user, and what the calling app calls itself."""
    actor: dict[str, Any] = {}
    if record.actor:
        actor["user"] = {"name": record.actor}
    if record.client:
        actor["app_name"] = record.client
    return actor


def _http_request(record: AuditRecord) -> dict[str, Any] | None:
    request: dict[str, Any] = {}
    if record.user_agent:
        request["user_agent"] = record.user_agent
    if record.request is not None:
        request["http_method"] = record.request.method
        request["url"] = {"path": record.request.path, "query_string": record.request.query}
    return request or None


def _unmapped(record: AuditRecord) -> dict[str, Any]:
    return {
        "purpose": record.purpose,
        "requirement": None if record.requirement is None else record.requirement.value,
        "policy_version": record.policy_version,
        "details": [list(pair) for pair in record.details],
        "flags": list(record.flags),
        "outcome": record.outcome.value,
        "factor_id": record.factor_id,
        "tree": {"log": record.log, "index": record.index, "entry": record.entry},
        "data": {name: value for name, value in record.data.items() if name != "proof"},
    }


def _message(record: AuditRecord) -> str:
    parts = [record.event.value, record.purpose, record.reason]
    return " ".join(part for part in parts if part)


# CAEP


def caep_event(
    record: AuditRecord, *, issuer: str, audience: str | None = None, signed_in_at: str = "nist-aal1"
) -> dict[str, Any] | None:
    """Return the claims of a CAEP 1.0 assurance-level-change event (§3.4); None for anything but a passed step-up.

    A session is at AAL2 (NIST SP 800-63B-4 §2.2) for one action. AAL3 is never claimed: without attestation
    nobody knows whether a key can be exported. ``signed_in_at`` is the level at which the app's own sign-in
    leaves people. The claims are an unsigned SET (RFC 8417): the transmitter signs them. ``issuer`` is the
    transmitter's URL; times are seconds since 1970.
    """
    if record.event is not EventName.VERIFIED:
        return None
    at = to_micros(record.at) // 1_000_000
    claims: dict[str, Any] = {
        "iss": issuer,
        "jti": record.id,
        "iat": at,
        "txn": record.prompt_id,
        "sub_id": {
            "format": "complex",
            "user": {"format": "iss_sub", "iss": issuer, "sub": record.subject_id},
            "session": {"format": "opaque", "id": record.session},
            "tenant": {"format": "opaque", "id": record.workspace_id},
        },
        "events": {
            CAEP_ASSURANCE_LEVEL_CHANGE: {
                "namespace": "NIST-AAL",
                "current_level": "nist-aal2",
                "previous_level": signed_in_at,
                **({"change_direction": "increase"} if signed_in_at == "nist-aal1" else {}),
                "initiating_entity": "user",
                "reason_user": {"en": f"Step-up for {record.purpose}"},
                "event_timestamp": at,
            }
        },
    }
    if audience is not None:
        claims["aud"] = audience
    return claims
