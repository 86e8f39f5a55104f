"""Writes notices: what happened to a person's account, in their language, and what to do if it was not them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.notices import KINDS, Notice, NoticeKind, browser_of
from stepup_middleware.core.texts import marked
from stepup_middleware.core.visible import visible
from stepup_middleware.languages import SOURCE, Languages, Texts
from stepup_middleware.stores.records import Records

from .requester import Requester

LOCALE = "locale"  # in the data of an event: the language that the app says the person reads …
BROWSER_LOCALE = "browser_locale"  # … and where it does not say, the one of the browser that asked
_ENROLMENTS_LOOKED_AT = 20

_TITLES = {
    NoticeKind.FACTOR_ADDED: marked("New factor for your account at %(app)s"),
    NoticeKind.FACTOR_REMOVED: marked("Factor removed from your account at %(app)s"),
    NoticeKind.FACTORS_RESET: marked("All factors of your account at %(app)s were removed"),
    NoticeKind.ENROLMENT_PASS_ISSUED: marked("An enrolment pass for your account at %(app)s was issued"),
    NoticeKind.RECOVERY_CODES_ISSUED: marked("New recovery codes for your account at %(app)s"),
    NoticeKind.RECOVERY_CODE_USED: marked("A recovery code of your account at %(app)s was used"),
    NoticeKind.APPROVAL_WAITS: marked("Your approval is asked for at %(app)s"),
    NoticeKind.SESSION_ENDED: marked("A session of yours at %(app)s was ended"),
}
_SENTENCES = {
    NoticeKind.FACTOR_ADDED: marked(
        "A factor was added to your account: %(name)s (%(kind)s). With it, actions can be authorized in your name."
    ),
    NoticeKind.FACTOR_REMOVED: marked(
        "A factor was removed from your account: %(name)s (%(kind)s). It authorizes nothing any more."
    ),
    NoticeKind.FACTORS_RESET: marked(
        "All factors of your account were removed. They authorize nothing any more, and you can enrol new ones."
    ),
    NoticeKind.ENROLMENT_PASS_ISSUED: marked(
        "An enrolment pass was issued for your account. Whoever has the pass and is signed in as you can enrol a "
        "factor."
    ),
    NoticeKind.RECOVERY_CODES_ISSUED: marked(
        "Recovery codes were made for your account, and all earlier ones are void. Each allows one new factor, and "
        "authorizes no action."
    ),
    NoticeKind.RECOVERY_CODE_USED: marked(
        "A recovery code of your account was used. It allows one new factor, and authorizes no action."
    ),
    NoticeKind.APPROVAL_WAITS: marked(
        "A program that is signed in as you asks for your approval: %(name)s. Nothing happens until you approve it on "
        "the page of waiting approvals, with the two digits that the program shows."
    ),
    NoticeKind.SESSION_ENDED: marked(
        "On the page where your approval was asked for, the session of the program that asked was ended: %(name)s."
    ),
}
_IF_NOT_YOU = {
    NoticeKind.FACTOR_ADDED: marked(
        "If this was not you, tell your security team now and end your other sessions. If you have another factor, "
        "remove this one with it on the page of your factors."
    ),
    NoticeKind.FACTOR_REMOVED: marked(
        "If this was not you, tell your security team now, and look on the page of your factors for any that you do "
        "not know."
    ),
    NoticeKind.FACTORS_RESET: marked("If you did not ask for this, tell your security team now."),
    NoticeKind.ENROLMENT_PASS_ISSUED: marked(
        "If you did not ask for this, tell your security team now. Give the pass to nobody: no admin ever asks you for "
        "it."
    ),
    NoticeKind.RECOVERY_CODES_ISSUED: marked(
        "If this was not you, tell your security team now, and look on the page of your factors for any that you do "
        "not know."
    ),
    NoticeKind.RECOVERY_CODE_USED: marked(
        "If this was not you, somebody has your recovery codes and is signed in as you: tell your security team now."
    ),
    NoticeKind.APPROVAL_WAITS: marked(
        "If you started nothing that asks for this, deny it there, end that session, and tell your security team now."
    ),
    NoticeKind.SESSION_ENDED: marked(
        "If you do not know that program, somebody else was signed in as you: tell your security team now. If it was "
        "not you who ended it, tell them, too."
    ),
}


def person_language(requester: Requester) -> dict[str, str]:
    """Return what an event says of the language of its person, for the notices that follow.

    A browser's word is kept apart: whoever holds a stolen session chooses it, and so could choose that the person
    cannot read what they are told.
    """
    said = requester.subject.locale
    return {LOCALE: said} if said else {BROWSER_LOCALE: requester.locale}


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeWriter:
    """Makes the notice of an event. ``app`` is the name of the relying party, ``locale`` the app's one language."""

    store: Records
    languages: Languages
    app: str
    locale: str | None = None

    async def write(self, seq: int, event: AuditEvent) -> Notice:
        """Return the notice of an event of the log. Raises ``StoreError``."""
        return self._notice(seq, event, await self._language(event))

    async def _language(self, event: AuditEvent) -> str:
        """Return the language of the person: by the app's word, else by their first browser's."""
        said = event.data.get(LOCALE) if event.person_id == event.subject_id else None
        if isinstance(said, str) and (found := self.languages.find(said)):
            return found
        wanted = AuditFilter(event=EventName.FACTOR_ENROLLED, subject=event.person_id)
        page = await self.store.audit_page(event.workspace_id, wanted, before=None, limit=_ENROLMENTS_LOOKED_AT)
        newest_first = [record.data for record in page.events if record.subject_id == record.as_event().person_id]
        candidates = [data.get(LOCALE) for data in newest_first]
        candidates += [data.get(BROWSER_LOCALE) for data in reversed(newest_first)]
        for each in (self.locale, *candidates):
            if isinstance(each, str) and (found := self.languages.find(each)):
                return found
        return SOURCE

    def _notice(self, seq: int, event: AuditEvent, locale: str) -> Notice:
        texts, kind, data = self.languages.texts(locale), KINDS[event.name], event.data
        by_other = event.person_id != event.subject_id or not event.session
        name = _one_line(data.get("name"))
        return Notice(
            id=str(seq),
            kind=kind,
            workspace_id=event.workspace_id,
            subject_id=event.person_id,
            subject_name=_one_line(data.get("person_name")) if by_other else _one_line(event.subject_name),
            at=event.at,
            locale=texts.tag,
            title=texts(_TITLES[kind], app=_one_line(self.app)),
            text="\n".join(self._lines(event, texts, by_other=by_other)),
            by_other=by_other,
            ip="" if by_other else event.ip,
            user_agent="" if by_other else event.user_agent,
            factor_kind=event.factor_kind,
            factor_name=name,
            _in_language=lambda tag: self._notice(seq, event, self.languages.find(tag) or locale),
        )

    def _lines(self, event: AuditEvent, texts: Texts, *, by_other: bool) -> list[str]:
        kind, data = KINDS[event.name], event.data
        factor = "" if event.factor_kind is None else texts(event.factor_kind.label)
        name = texts(_one_line(data.get("title"))) if kind is NoticeKind.APPROVAL_WAITS else _one_line(data.get("name"))
        lines = [texts(_SENTENCES[kind], name=name, kind=factor)]
        if isinstance(left := data.get("left"), int):
            lines.append(texts.plural("%(number)s recovery code is left.", "%(number)s recovery codes are left.", left))
        if until := _moment(data, "expires_at"):
            lines.append(texts(marked("The pass is valid until %(until)s."), until=texts.moment(until)))
        if until := _moment(data, "hold_until"):
            lines.append(
                texts(
                    marked("Until %(until)s, the actions that matter most are closed to you, whatever you add."),
                    until=texts.moment(until),
                )
            )
        named: list[tuple[str, object]] = [(marked("When"), texts.moment(event.at))]
        if by_other:
            named += [(marked("By"), self._who(event, texts)), (marked("Reason"), data.get("why"))]
        else:
            named += [(marked("IP address"), event.ip), (marked("Browser"), browser_of(event.user_agent))]
        lines += ["", *(f"{texts(label)}: {_one_line(value)}" for label, value in named if value)]
        return [*lines, "", texts(_IF_NOT_YOU[kind])]

    def _who(self, event: AuditEvent, texts: Texts) -> str:
        """Return who acted where it was not the person: an admin by name, but not who runs a command on which host."""
        if event.subject_id and event.subject_id != event.person_id:
            return event.subject_name or event.subject_id
        return texts(marked("an operator or a program of %(app)s"), app=self.app)


def _one_line(value: object) -> str:
    """Return a text that an app may put into the header of a mail: one line, and nothing in it that is not seen."""
    return " ".join(visible(value).split()) if isinstance(value, str) else ""


def _moment(data: Mapping[str, Any], key: str) -> datetime | None:
    value = data.get(key)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if moment is None or moment.utcoffset() is None else moment
