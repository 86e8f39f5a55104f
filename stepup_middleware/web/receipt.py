"""The receipt of one step-up: a page to print and to keep."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.events import EventName
from stepup_middleware.core.moments import iso
from stepup_middleware.core.purposes import INTERNAL_PURPOSES
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.texts import Text, marked
from stepup_middleware.errors import EvidenceError
from stepup_middleware.evidence.report import EvidenceVerdict, Report, Status
from stepup_middleware.languages import Texts
from stepup_middleware.log.checkpoints import read_checkpoint
from stepup_middleware.log.keys import SignatureType, VerifierKey
from stepup_middleware.log.notes import Note
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
    EvidenceVerdict.VERIFIED: marked(
        "Verified: the signature of the person's key, the action and the signed audit log fit together."
    ),
    EvidenceVerdict.NOT_VERIFIABLE: marked("Nothing is wrong, but not everything can be verified independently."),
    EvidenceVerdict.FAILED: marked(
        "Not verified: the audit log and the proof do not fit together. Tell your security team."
    ),
}


async def receipt_view(
    stepup: StepUp, subject: Subject, prompt_id: str, base: str, texts: Texts
) -> dict[str, Any] | None:
    """Return what the receipt shows, None when this subject may not see one or no action was authorized.

    ``base`` is the library's prefix. Somebody else's receipt is answered like an unknown one. Raises ``StoreError``.
    """
    evidence = stepup._parts.evidence
    events = await evidence.events(subject.workspace_id, prompt_id)
    action = next((record for record in events if record.event is EventName.ACTION_AUTHORIZED), None)
    if action is None or not (subject.is_admin or action.subject_id == subject.id):
        return None
    try:
        made = await evidence.make(subject.workspace_id, prompt_id, events=events)
    except EvidenceError as error:
        made, why = None, str(error)
    else:
        why = ""
    # its signatures take a while: too long for the event loop
    report = None if made is None else await asyncio.to_thread(evidence.judge, made.as_dict())
    verdict = EvidenceVerdict.NOT_VERIFIABLE if report is None else report.verdict
    checkpoint = None if made is None else _shown(made.note, evidence.own_trust.log_keys)
    by_name = {record.event: record for record in reversed(events)}
    return {
        "prompt_id": prompt_id,
        "evidence_url": f"{base}/receipts/{prompt_id}/evidence" if subject.is_admin and made is not None else None,
        "purpose": texts(_title(stepup, action.purpose)),
        "details": action.details,
        "request": "" if action.request is None else f"{action.request.method} {action.request.path}",
        "person": action.subject_name or action.subject_id,
        "subject_id": action.subject_id,
        "actor": action.actor,
        "client": action.client,
        "factor": _factor(action, by_name.get(EventName.VERIFIED), texts),
        "at": iso(action.at),
        "at_text": texts.moment(action.at, seconds=True),
        "ip": action.ip,
        "outcome": texts(_outcome(by_name.get(EventName.ACTION_COMPLETED))),
        "verdict": verdict.value,
        "verdict_text": texts(_VERDICTS[verdict]),
        "reasons": [why] if report is None else _reasons(report),
        "checkpoint": checkpoint,
        "qr_svg": "" if checkpoint is None else qr_svg(checkpoint["note"], scale=3),
    }


def _title(stepup: StepUp, purpose_id: str) -> str:
    purpose = INTERNAL_PURPOSES.get(purpose_id) or stepup.purposes.get(purpose_id)
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


def _shown(note: Note, keys: Sequence[VerifierKey]) -> dict[str, Any]:
    """Return the checkpoint as the receipt shows it: with the log's Ed25519 signature alone, which a code can hold."""
    own = [key for key in keys if key.type is SignatureType.ED25519]
    lines = tuple(line for line in note.signatures if any(key.made(line) for key in own))
    checkpoint = read_checkpoint(note.text)
    return {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "note": str(Note(note.text, lines)) if lines else note.text,
    }
