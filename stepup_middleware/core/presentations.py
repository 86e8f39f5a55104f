"""The events of a token that was presented: for the owner's workspace, and for the presenter's.

A workspace's log holds only what its own people sent, and what happens to its own tokens. Where the presenter is of
another workspace than the owner, each log gets a record of its own: the owner's says what happened to the token and
nothing of the presenter, the presenter's says what they sent and nothing of the owner. The two have the same
``presentation``, by which an operator who may read both finds one from the other.
"""

from __future__ import annotations

from datetime import timedelta

from .decisions import Decision, Flag, Presentation, TokenRow, TokenState, Verdict
from .events import AuditEvent, EventName, event_by
from .moments import iso
from .replays import Replay, presenter_digest

_RETRIES_WITHIN = timedelta(seconds=10)  # a proxy or a browser that sends the same once more
_OF_ANOTHER_WORKSPACE = {Flag.REDEEMED_BEFORE, Flag.WRONG_WORKSPACE}  # what the presenter's log tells of the row


def presentation_events(
    shown: Presentation, decision: Decision, row: TokenRow | None, *, replay: Replay | None = None
) -> tuple[AuditEvent, ...]:
    """Return the events of a presentation: one, or two where it did something to a token of another workspace.

    ``row`` is the token's as it was found, ``replay`` given where it was redeemed before. None where nobody presented
    anything, and what was approved has run.
    """
    if decision.verdict is Verdict.SPENT:
        return ()
    if row is None or Flag.WRONG_WORKSPACE not in decision.flags:
        return (presentation_event(shown, decision, row, replay=replay),)
    presenters = _presenters_event(shown, decision)
    if replay is None and row.state is not TokenState.ISSUED:
        return (presenters,)  # it was worthless before: nothing new for its owner
    return _owners_event(shown, decision, row, replay), presenters


def presentation_event(
    shown: Presentation, decision: Decision, row: TokenRow | None, *, replay: Replay | None = None
) -> AuditEvent:
    """Return the event of a presentation within one workspace, with what the row knows of its prompt and proof.

    A token shown by another person than its holder is logged under the one who showed it; the prompt id leads to
    the holder.
    """
    known = row if Flag.STATE_LOST not in decision.flags else None
    name = _name(decision)
    return event_by(
        shown,
        name,
        at=shown.now,
        purpose=shown.purpose,
        prompt_id="" if known is None else known.prompt_id,
        factor_kind=None if known is None else known.factor_kind,
        factor_id="" if known is None else known.factor_id,
        requirement=None if known is None else known.requirement,
        policy_version=None if known is None else known.policy_version,
        request=shown.request,
        details=shown.details,
        reason="" if name is EventName.ACTION_AUTHORIZED else decision.flags[0].value,
        flags=tuple(flag.value for flag in decision.flags),
        retention_years=shown.retention_years,
        data=_data(shown, decision, known, replay),
    )


def replay_of(shown: Presentation, row: TokenRow) -> Replay:
    """Return what becomes of a redeemed row that is presented once more."""
    return row.replays.and_of(presenter_digest(shown.workspace_id, shown.subject_id, shown.session, shown.ip))


def _name(decision: Decision) -> EventName:
    if decision.verdict is Verdict.REDEEMED:
        return EventName.ACTION_AUTHORIZED
    return EventName.REUSED if decision.verdict is Verdict.REUSED else EventName.BLOCKED


def _data(shown: Presentation, decision: Decision, row: TokenRow | None, replay: Replay | None) -> dict[str, object]:
    if decision.verdict is Verdict.REDEEMED:
        return {"token": str(shown.reference.id)}  # one event a token, for ever: the log's own constraint
    return {} if row is None or replay is None else _replay_data(shown, decision, row, replay)


def _replay_data(shown: Presentation, decision: Decision, row: TokenRow, replay: Replay) -> dict[str, object]:
    return {
        "count": replay.after.count,
        "new_presenter": replay.new_presenter,
        "likely_retry": row.redeemed_at is not None
        and shown.now - row.redeemed_at <= _RETRIES_WITHIN
        and decision.flags == (Flag.REDEEMED_BEFORE,),
        "redeemed": {
            "at": None if row.redeemed_at is None else iso(row.redeemed_at),
            "ip": row.redeemed_ip,
            "user_agent": row.redeemed_user_agent,
            "subject": row.subject_id,
            "session": row.session,
        },
    }


def _owners_event(shown: Presentation, decision: Decision, row: TokenRow, replay: Replay | None) -> AuditEvent:
    data = {} if replay is None else _replay_data(shown, decision, row, replay)
    return event_by(
        shown,
        _name(decision),
        at=shown.now,
        workspace_id=row.workspace_id,
        subject_id=row.subject_id,
        subject_name="",
        actor="",
        client="",
        session=row.session,
        ip="",
        user_agent="",
        purpose=row.purpose,
        prompt_id=row.prompt_id,
        factor_kind=row.factor_kind,
        factor_id=row.factor_id,
        requirement=row.requirement,
        policy_version=row.policy_version,
        reason=decision.flags[0].value,
        flags=tuple(flag.value for flag in decision.flags),
        retention_years=shown.retention_years,
        data={**data, "presented_by": "another_workspace", "presentation": shown.attempt.hex()},
    )


def _presenters_event(shown: Presentation, decision: Decision) -> AuditEvent:
    flags = tuple(flag.value for flag in decision.flags if flag in _OF_ANOTHER_WORKSPACE)
    return event_by(
        shown,
        EventName.BLOCKED,
        at=shown.now,
        purpose=shown.purpose,
        request=shown.request,
        details=shown.details,
        reason=flags[0],
        flags=flags,
        retention_years=shown.retention_years,
        data={"presentation": shown.attempt.hex()},
    )
