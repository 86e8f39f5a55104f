"""The texts that a person reads, in their language: gettext catalogues, and what an app adds to them.

A text is written in English where it is used and looked up by it: ``marked("...")`` in Python, ``_("...")`` and
``{% trans %}`` in a template, ``_("...")`` in a script. ``python -m tests.languages`` gathers them in ``stepup.pot``
and says what a catalogue lacks; what is missing is shown in English. Catalogues are ``.po`` files, read when somebody
first wants the language and compiled in memory, so that nothing compiled can be older than its source.
"""

from __future__ import annotations

import asyncio
import gettext
import re
import unicodedata
from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path

from babel import Locale, UnknownLocaleError
from babel.dates import UTC, format_date, format_time, format_timedelta
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from stepup_middleware.core.texts import Text, marked
from stepup_middleware.errors import ConfigurationError

FOLDER = Path(__file__).parent  # the library's catalogues
SOURCE = "en"  # the language of the texts where they are written
MAX_HEADER = 1024  # characters of Accept-Language that are read; browsers send about 50
_UNITS = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1))
_LONGEST_TAG = 100  # characters that are looked at, for a tag is looked up once for each of its parts
_TAG = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_PLACEHOLDER = re.compile(r"%\(\w+\)s|%%|%")
_MARKUP = re.compile(r"</?[a-z][^>]*>")


def seen(text: str) -> str:
    """Return what Babel wrote without the signs that nobody sees: no marks of direction, and each blank a space.

    Such a date or number is signed, compared, searched for and copied, and details write out what cannot be seen.
    """
    return "".join(
        " " if category == "Zs" else char for char in text if (category := unicodedata.category(char)) != "Cf"
    )


class Texts:
    """One language: its texts, its direction, its dates and numbers. ``tag`` is as in HTML (BCP 47): ``pt-BR``."""

    def __init__(self, tag: str, catalogue: gettext.NullTranslations) -> None:
        self.tag = tag
        self._catalogue = catalogue
        self._locale = Locale.parse(tag, sep="-")
        self.direction: str = self._locale.text_direction  # the value of the attribute dir: rtl or ltr
        self.moment(
            datetime(2026, 1, 1, tzinfo=UTC)
        )  # now, for it reads the language's dates and numbers from the disk
        self.number(1)
        self.ago(timedelta(0))

    def __call__(self, text: str | Text, /, **values: object) -> str:
        """Return a text in this language, with ``values`` in the places of ``%(name)s``.

        A time is said as ``moment`` says it, a span as ``span``, and a ``Text`` in this language.
        """
        if not isinstance(text, str):
            return self(text.message, **text.values)
        found = self._catalogue.gettext(text) if text else ""  # the empty text has the catalogue's own header
        return found % {name: self._said(value) for name, value in values.items()} if values else found

    def _said(self, value: object) -> object:
        if isinstance(value, Text):
            return self(value)
        if isinstance(value, timedelta):
            return self.span(value)
        return self.moment(value) if isinstance(value, datetime) else value

    def plural(self, one: str, many: str, number: int, /, **values: object) -> str:
        """Return the text for a number of things; ``%(number)s`` in it is the number as the language writes it."""
        return self._catalogue.ngettext(one, many, number) % {"number": self.number(number), **values}

    def gettext(self, text: str) -> str:
        """Return a text in this language, for templates (``gettext``)."""
        return self._catalogue.gettext(text)

    def ngettext(self, one: str, many: str, number: int) -> str:
        """Return the text for a number of things, for templates (``gettext``)."""
        return self._catalogue.ngettext(one, many, number)

    def number(self, value: float) -> str:
        """Return a number with the language's separators."""
        return seen(format_decimal(value, locale=self._locale))

    def day(self, day: date | str) -> str:
        """Return a day (of a time: that of UTC; also as ISO 8601 text) of medium length: ``24 Nov 2026``, say."""
        when = datetime.fromisoformat(day) if isinstance(day, str) else day
        return seen(format_date(when, "medium", locale=self._locale))

    def moment(self, at: datetime | str, *, seconds: bool = False) -> str:
        """Return an aware time (also as ISO 8601 text) in UTC, and say that it is."""
        at = datetime.fromisoformat(at) if isinstance(at, str) else at
        clock = format_time(at, "medium" if seconds else "short", tzinfo=UTC, locale=self._locale)
        return f"{self.day(at.astimezone(UTC))}, {seen(clock)} UTC"

    def span(self, span: timedelta) -> str:
        """Return how long something takes at most, in the largest unit that it fills: ``2 minutes``, say."""
        unit = next((size for size in _UNITS if span >= size), _UNITS[-1])
        return seen(format_timedelta(-(-span // unit) * unit, threshold=1, locale=self._locale))

    def ago(self, span: timedelta) -> str:
        """Return how long ago something was, in the largest unit that it fills: ``2 minutes ago``, say."""
        whole = max(timedelta(seconds=1), span)
        unit = next((size for size in _UNITS if whole >= size), _UNITS[-1])
        return seen(format_timedelta(-(whole // unit) * unit, threshold=1, add_direction=True, locale=self._locale))


class Languages:
    """The catalogues of a folder of ``.po`` files, and what an app adds to them or says otherwise.

    ``added`` maps tags to texts by their English: ``{"de": {"Cancel": "Zurück"}, "sv": {...}}``. A text
    that a catalogue lacks is looked for in ``beneath``.
    """

    def __init__(
        self,
        folder: Path,
        added: Mapping[str, Mapping[str, str]] | None = None,
        beneath: Languages | None = None,
    ) -> None:
        self._folder = folder
        self._beneath = beneath
        self._added = {_tag(tag): dict(texts) for tag, texts in (added or {}).items()}
        shipped = {_tag(entry.name.removesuffix(".po")) for entry in folder.iterdir() if entry.name.endswith(".po")}
        self.tags: tuple[str, ...] = tuple(sorted({SOURCE, *shipped, *self._added}))
        self._by_folded = {tag.casefold(): tag for tag in self.tags}
        self._texts: dict[str, Texts] = {}
        self._negotiated = lru_cache(maxsize=256)(self._negotiate)  # a browser sends the same with each request
        self._said_by_scripts: dict[str, dict[str, str]] = {}

    def texts(self, tag: str) -> Texts:
        """Return the texts of a language that ``tags`` has; English for any other.

        The first use of a language reads its catalogue from the disk (about 10 ms): ``ready`` does it beside the loop.
        """
        tag = self._by_folded.get(tag.casefold(), SOURCE)
        found = self._texts.get(tag)
        if found is None:
            found = Texts(tag, self._translations(tag))
            self._said_by_scripts[tag] = self._for_scripts(found)
            self._texts[tag] = found
        return found

    async def ready(self, tag: str) -> Texts:
        """Return the texts of a language as ``texts`` does; no request waits for another's catalogue."""
        if (found := self._texts.get(tag)) is not None:
            return found
        return await asyncio.to_thread(self.texts, tag)

    def said_by_scripts(self, texts: Texts) -> Mapping[str, str]:
        """Return what the scripts say in a language, by the English text; only what differs from it."""
        self.texts(texts.tag)
        return self._said_by_scripts[texts.tag]

    def _translations(self, tag: str) -> gettext.NullTranslations:
        catalogue = _catalogue(str(self._folder.joinpath(tag.replace("-", "_") + ".po")), tag)
        layers = [catalogue] if self._beneath is None else [catalogue, self._beneath._translations(tag)]
        if tag in self._added:
            layers.insert(0, _compiled(tag, self._added[tag]))
        return layers[0] if len(layers) == 1 else _Layers(layers)

    def _for_scripts(self, texts: Texts) -> dict[str, str]:
        if texts.tag == SOURCE and SOURCE not in self._added:
            return {}
        ours = (text for text, places in template_texts(self._folder).items() if _of_scripts(places))
        return {text: said for text in ours if (said := texts(text)) != text}

    def find(self, wanted: str) -> str | None:
        """Return the tag that serves a wanted one, or None (RFC 4647 §3.4, *lookup*).

        ``de-AT`` is served by ``de`` and, where no nearer one is there, ``pt-PT`` by ``pt-BR``; traditional Chinese is
        not served by simplified. The first 100 characters are looked at.
        """
        folded = wanted[:_LONGEST_TAG].strip().replace("_", "-").casefold()
        rest = folded
        while rest:
            if rest in self._by_folded:
                return self._by_folded[rest]
            rest = rest.rpartition("-")[0]
        if re.match(r"zh-(.*-)?(hant|tw|hk|mo)\b", folded):
            return None
        primary = {"iw": "he"}.get(folded.partition("-")[0], folded.partition("-")[0])
        return next((tag for tag in self.tags if tag.casefold().partition("-")[0] == primary), None)

    def negotiate(self, accepted: str) -> str:
        """Return the tag that serves an ``Accept-Language`` best (RFC 9110 §12.5.4), English where none does."""
        return self._negotiated(accepted[:MAX_HEADER])

    def _negotiate(self, accepted: str) -> str:
        ranges: list[tuple[float, str]] = []
        for part in accepted.split(","):
            wanted, _, parameter = part.partition(";")
            name, _, quality = parameter.strip().partition("=")
            try:
                weight = float(quality) if name.strip().lower() == "q" else 1.0
            except ValueError:
                continue
            if weight > 0 and _TAG.fullmatch(wanted.strip()):
                ranges.append((-weight, wanted))
        for _, wanted in sorted(ranges, key=lambda each: each[0]):
            if (found := self.find(wanted)) is not None:
                return found
        return SOURCE


def library_languages(added: Mapping[str, Mapping[str, str]] | None = None) -> Languages:
    """Return the library's own languages, with what an app adds."""
    return Languages(FOLDER, added)


@cache
def template_texts(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return every text of a folder of catalogues in English, by its template, and the files that have it."""
    return {
        message.id if isinstance(message.id, str) else message.id[0]: tuple(path for path, _ in message.locations)
        for template in folder.glob("*.pot")
        for message in _read(template, SOURCE)
        if message.id
    }


def library_texts() -> dict[str, tuple[str, ...]]:
    """Return every text of the library in English, and the files that have it."""
    return template_texts(FOLDER)


def check_added(added: object, further: Collection[str]) -> None:
    """Raise ``ConfigurationError`` unless these are texts for languages that can be shown in place of the English.

    ``further``: English texts beside the library's, those of the app's own purposes.
    """
    if not isinstance(added, Mapping):
        raise ConfigurationError('texts maps languages to texts by their English: {"de": {"Cancel": "Zurück"}}')
    known = {*library_texts(), *further}
    for tag, texts in added.items():
        _tag(tag)
        if not isinstance(texts, Mapping):
            raise ConfigurationError(f"texts[{tag!r}] maps English texts to those of the language, not {texts!r}")
        for english, text in texts.items():
            place = f"texts[{tag!r}][{english!r}]"
            if english not in known:
                near = "".join(f"; is {each!r} meant?" for each in get_close_matches(str(english), known, n=1))
                raise ConfigurationError(f"{place}: there is no such text{near}")
            if not isinstance(text, str) or not text.strip():
                raise ConfigurationError(f"{place} must be text, and not be empty: {text!r}")
            if problem := mismatch(english, text):
                raise ConfigurationError(f"{place}: {problem}")


def mismatch(english: str, text: str) -> str:
    """Return what a translation lost or added of what must stay as it is: places of values, and markup; or nothing."""
    for pattern, name in ((_PLACEHOLDER, "the places of values"), (_MARKUP, "the markup")):
        wanted, got = sorted(pattern.findall(english)), sorted(pattern.findall(text))
        if wanted != got:
            return f"{name} must be the same: {wanted} and not {got}"
    return ""


def _tag(name: object) -> str:
    """Return a language's name as a BCP 47 tag. Raises ``ConfigurationError`` for what is none."""
    if not isinstance(name, str) or not _TAG.fullmatch(name):
        raise ConfigurationError(f"a language is named as in HTML, such as de or pt-BR, not {name!r}")
    try:
        return str(Locale.parse(name.replace("_", "-"), sep="-", resolve_likely_subtags=False)).replace("_", "-")
    except (UnknownLocaleError, ValueError):
        raise ConfigurationError(f"the language {name!r} is not known: write one as in HTML, such as pt-BR") from None


class _Layers(gettext.NullTranslations):
    """Several catalogues, each asked for what those before it lack."""

    def __init__(self, layers: list[gettext.NullTranslations]) -> None:
        super().__init__()
        self._layers = layers

    def gettext(self, message: str) -> str:
        return next((said for each in self._layers if (said := each.gettext(message)) != message), message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        english = msgid1 if n == 1 else msgid2
        return next((said for each in self._layers if (said := each.ngettext(msgid1, msgid2, n)) != english), english)


def _of_scripts(places: tuple[str, ...]) -> bool:
    return any(place.endswith(".js") for place in places)


@cache
def _catalogue(path: str, tag: str) -> gettext.NullTranslations:
    place = Path(path)
    return _translations(_read(place, tag)) if place.is_file() else gettext.NullTranslations()


def _read(place: Path, tag: str) -> Catalog:
    with place.open("rb") as file:
        return read_po(file, locale=tag.replace("-", "_"))


def _compiled(tag: str, texts: Mapping[str, str]) -> gettext.GNUTranslations:
    catalogue = Catalog(locale=tag.replace("-", "_"))
    for english, text in texts.items():
        catalogue.add(english, text)
    return _translations(catalogue)


def _translations(catalogue: Catalog) -> gettext.GNUTranslations:
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


__all__ = ["Languages", "Text", "Texts", "marked"]
