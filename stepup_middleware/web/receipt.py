"""The receipt of one step-up: a page to print and to keep."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.events import AuditRecord, EventName
from stepup_middleware.core.moments import iso
from stepup_middleware.core.purposes import FACTOR_CHANGE
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.texts import Text, marked
from stepup_middleware.core.verification import Report, Status, Verdict
from stepup_middleware.languages import Texts
from stepup_middleware.service.evidence import judge
from stepup_middleware.service.stepup import StepUp

from .pages import qr_svg

NO_RECEIPT = Refusal(
    code=RefusalCode.PROMPT_NOT_FOUND,
    detail=marked(
        "There is no receipt here for you. A receipt is for an action that you authorized; an admin of the "
        "workspace sees those of everybody."
    ),
)

NO_EVIDENCE = Refusal(
    code=RefusalCode.PROMPT_NOT_FOUND,
    detail=marked("There is no evidence here for you. An admin of the workspace can download that of every step-up."),
)

_VERDICTS = {
    Verdict.VERIFIED: marked(
        "Verified: the signature of the person's key, the action and the signed audit log fit together."
    ),
    Verdict.NOT_VERIFIABLE: marked("Nothing is wrong, but not everything can be verified independently."),
    Verdict.FAILED: marked("Not verified: the audit log and the proof do not fit together. Tell your security team."),
}


async def receipt_view(
    stepup: StepUp, subject: Subject, prompt_id: str, base: str, texts: Texts
) -> dict[str, Any] | None:
    """Return what the receipt shows, None when this subject may not see one or no action was authorized.

    ``base`` is the library's prefix. Somebody else's receipt is answered like an unknown one. Raises ``StoreError``.
    """
    events = await stepup._parts.evidence.events(subject.workspace_id, prompt_id)
    action = next((record for record in events if record.event is EventName.ACTION_AUTHORIZED), None)
    if action is None or not (subject.is_admin or action.subject_id == subject.id):
        return None
    bundle = await stepup.evidence(subject.workspace_id, prompt_id)
    if bundle is None:
        return None
    # a bundle may lead over many links to its head: too much for the event loop
    report = await asyncio.to_thread(judge, bundle, stepup._parts.evidence.own_trust)
    verified = report.event(EventName.VERIFIED)
    head = _head_of(bundle, action)
    return {
        "prompt_id": prompt_id,
        "evidence_url": f"{base}/receipts/{prompt_id}/evidence" if subject.is_admin else None,
        "purpose": texts(_title(stepup, action.purpose)),
        "details": action.details,
        "request": "" if action.request is None else f"{action.request.method} {action.request.path}",
        "person": action.subject_name or action.subject_id,
        "subject_id": action.subject_id,
        "factor": _factor(action, verified, texts),
        "at": iso(action.at),
        "at_text": texts.moment(action.at, seconds=True),
        "ip": action.ip,
        "outcome": texts(_outcome(report.event(EventName.ACTION_COMPLETED))),
        "verdict": report.verdict.value,
        "verdict_text": texts(_VERDICTS[report.verdict]),
        "reasons": _reasons(report),
        "head": head,
        "qr_svg": "" if head is None else head_qr(head),
    }


def _title(stepup: StepUp, purpose_id: str) -> str:
    purpose = FACTOR_CHANGE if purpose_id == FACTOR_CHANGE.id else stepup.purposes.get(purpose_id)
    return purpose_id if purpose is None else purpose.title


def _factor(action: AuditRecord, verified: AuditRecord | None, texts: Texts) -> str:
    kind = "" if action.factor_kind is None else texts(action.factor_kind.label)
    name = verified.data.get("factor_name") if verified is not None else None
    return f"{kind} ({name})" if isinstance(name, str) and name and name != kind else kind


def _outcome(completed: AuditRecord | None) -> str | Text:
    if completed is None:
        return marked("Not recorded yet")
    status = completed.data.get("status")
    match completed.data.get("outcome"):
        case "returned":
            return Text(marked("The app answered with status %(status)s"), {"status": status})
        case "raised":
            return marked("The app failed while it ran the action")
        case "aborted":
            return marked("The connection ended before the app answered")
    return marked("The app gave no answer")


def _reasons(report: Report) -> list[str]:
    """Return why the verdict is not better, one line a check."""
    return [
        f"{finding.check.value}: {finding.problem}"
        for finding in report.findings
        if report.status(finding.check) is not Status.OK
    ]


def _head_of(bundle: dict[str, Any], action: AuditRecord) -> dict[str, Any] | None:
    """Return the signed head that covers the action, None when there is none."""
    for segment in bundle["segments"]:
        last = segment["first_link"] + len(segment["leaves"]) - 1
        if segment["chain"] == action.chain and segment["first_link"] <= action.link <= last:
            head: dict[str, Any] | None = segment["head"]
            return head
    return None


def head_qr(head: Mapping[str, Any]) -> str:
    """Return the QR code of a signed head: the line of JSON that ``stepup audit verify --heads`` reads."""
    return qr_svg(canonical_json(dict(head)), scale=3)
