"""The receipt of one step-up: a page to print and to keep."""

from __future__ import annotations

from typing import Any

from stepup_middleware.core.events import AuditRecord, EventName
from stepup_middleware.core.moments import iso
from stepup_middleware.core.purposes import FACTOR_CHANGE
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.texts import Text, marked
from stepup_middleware.languages import Texts
from stepup_middleware.service.stepup import StepUp

NO_RECEIPT = Refusal(
    code=RefusalCode.PROMPT_NOT_FOUND,
    detail=marked(
        "There is no receipt here for you. A receipt is for an action that you authorized; an admin of the "
        "workspace sees those of everybody."
    ),
)


async def receipt_view(stepup: StepUp, subject: Subject, prompt_id: str, texts: Texts) -> dict[str, Any] | None:
    """Return what the receipt shows, None when this subject may not see one or no action was authorized.

    Somebody else's receipt is answered like an unknown one. Raises ``StoreError``.
    """
    events = await stepup.audit.of_prompt(subject.workspace_id, prompt_id)
    action = next((record for record in events if record.event is EventName.ACTION_AUTHORIZED), None)
    if action is None or not (subject.is_admin or action.subject_id == subject.id):
        return None
    verified = next((record for record in events if record.event is EventName.VERIFIED), None)
    completed = next((record for record in events if record.event is EventName.ACTION_COMPLETED), None)
    return {
        "prompt_id": prompt_id,
        "purpose": texts(_title(stepup, action.purpose)),
        "details": action.details,
        "request": "" if action.request is None else f"{action.request.method} {action.request.path}",
        "person": action.subject_name or action.subject_id,
        "subject_id": action.subject_id,
        "factor": _factor(action, verified, texts),
        "at": iso(action.at),
        "at_text": texts.moment(action.at, seconds=True),
        "ip": action.ip,
        "outcome": texts(_outcome(completed)),
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
