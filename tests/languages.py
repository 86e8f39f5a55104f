"""Gathers the texts that people read, and says what a language lacks.

``python -m tests.languages`` says it, ``--update`` writes ``stepup.pot`` and puts new texts into each catalogue, with
nothing in the place of the translation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po

from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.purposes import INTERNAL_PURPOSES, PLATFORM_PURPOSES
from stepup_middleware.core.refusals import RefusalCode
from stepup_middleware.languages import mismatch
from stepup_middleware.web.repetition import Reason

ROOT = Path(__file__).parent.parent
LANGUAGES = ("ar", "de", "es", "fr", "he", "it", "ja", "ko", "nl", "pl", "pt_BR", "tr", "zh_Hans")
KEYWORDS: dict[str, Any] = {
    "_": None,
    "marked": None,
    "saying": None,
    "gettext": None,
    "ngettext": (1, 2),
    "plural": (1, 2),
}
TEMPLATE_OPTIONS = {"trimmed": "false", "silent": "false"}

Found = tuple[str, str | tuple[str, ...]]  # the file, and the text or its singular and plural


def library() -> Iterator[Found]:
    """Yield the texts of the library."""
    for kind in FactorKind:
        yield "stepup_middleware/core/factors.py", kind.label
    for code in RefusalCode:
        yield "stepup_middleware/core/refusals.py", code.heading
        yield "stepup_middleware/core/refusals.py", code.detail
    for purpose in (*PLATFORM_PURPOSES, *INTERNAL_PURPOSES.values()):
        for text in (purpose.title, purpose.description, purpose.authorize_title, purpose.consequence):
            yield "stepup_middleware/core/purposes.py", text
    for reason in Reason:
        yield "stepup_middleware/web/repetition.py", reason.value
    yield from marked_in(ROOT / "stepup_middleware", "*.py", "python")
    yield from marked_in(ROOT / "stepup_middleware", "*.html", "jinja2.ext:babel_extract")
    yield from marked_in(ROOT / "static" / "src", "*.js", "javascript")


def demo() -> Iterator[Found]:
    """Yield the texts of the demo that are not the library's."""
    yield from marked_in(ROOT / "demo_app", "*.py", "python")
    yield from marked_in(ROOT / "demo_app" / "templates", "*.html", "jinja2.ext:babel_extract")
    yield from marked_in(ROOT / "demo_app" / "static", "*.js", "javascript")


def marked_in(folder: Path, pattern: str, method: str) -> Iterator[Found]:
    """Yield the marked texts of the files of a folder."""
    if method.startswith("jinja2"):
        from jinja2.ext import babel_extract

        extractor: Any = babel_extract
        options = {"trimmed": "true", "trim_blocks": "true", "silent": "false"}
    else:
        extractor, options = method, {}
    for path in sorted(folder.rglob(pattern)):
        for _, text, _, _ in extract_from_file(extractor, path, keywords=KEYWORDS, options=options):
            yield path.relative_to(ROOT).as_posix(), text


DOMAINS = {
    "stepup": (ROOT / "stepup_middleware" / "languages", library),
    "demo": (ROOT / "demo_app" / "languages", demo),
}


def template(name: str) -> Catalog:
    """Return the catalogue of all texts of a domain, in English alone."""
    catalogue = Catalog(
        project="stepup-middleware",
        charset="utf-8",
        creation_date=datetime(2026, 1, 1, tzinfo=UTC),
        revision_date=datetime(2026, 1, 1, tzinfo=UTC),
        header_comment="# Texts of stepup-middleware, by their English.",
    )
    for path, text in DOMAINS[name][1]():
        if not text:
            continue
        catalogue.add(text, locations=[(path, 0)], flags=())
    for message in catalogue:
        message.locations = sorted(set(message.locations))
        message.flags.discard("python-format") if message.id else None
    return catalogue


def written(catalogue: Catalog) -> bytes:
    """Return a catalogue as the file has it: sorted, without numbers of lines."""
    from io import BytesIO

    file = BytesIO()
    write_po(file, catalogue, width=0, sort_output=True, include_lineno=False, omit_header=False, ignore_obsolete=True)
    return file.getvalue()


def read(name: str, language: str) -> Catalog:
    """Return a domain's catalogue of a language; an empty one if there is none yet."""
    path = DOMAINS[name][0] / f"{language}.po"
    if not path.exists():
        return Catalog(locale=language, charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=language)


def faults(name: str) -> list[str]:
    """Return what is wrong with the catalogues of a domain, a line each."""
    folder, _ = DOMAINS[name]
    wanted = template(name)
    lines = []
    pot = folder / f"{name}.pot"
    if not pot.exists() or pot.read_bytes() != written(wanted):
        lines.append(f"{pot.relative_to(ROOT)} is not up to date: run python -m tests.languages --update")
    for language in LANGUAGES:
        have = read(name, language)
        file = (folder / f"{language}.po").relative_to(ROOT)
        for message in wanted:
            if not message.id:
                continue
            found = have.get(message.id)
            ids = _each(message.id)
            texts = () if found is None else _each(found.string)
            if not texts or not all(texts) or (found is not None and found.fuzzy):
                lines.append(f"{file}: no translation of {ids[0]!r}: write it into the msgstr below")
                continue
            lines += [
                f"{file}: {ids[0]!r}: {mismatch(ids[0], text)}"
                for text in texts
                if all(mismatch(each, text) for each in ids)
            ]
        extra = {message.id for message in have if message.id and wanted.get(message.id) is None}
        lines += [f"{file}: {each!r} is used no longer: --update takes it away" for each in sorted(map(str, extra))]
    return lines


def _each(text: object) -> tuple[str, ...]:
    """Return a text, or its forms by number, as a tuple."""
    return tuple(map(str, text)) if isinstance(text, list | tuple) else (str(text or ""),)


def update(name: str) -> None:
    """Write the template of a domain, and bring each catalogue to it; translations of texts that are gone go too."""
    folder, _ = DOMAINS[name]
    folder.mkdir(exist_ok=True)
    wanted = template(name)
    (folder / f"{name}.pot").write_bytes(written(wanted))
    for language in LANGUAGES:
        have = read(name, language)
        new = Catalog(
            locale=language,
            charset="utf-8",
            project="stepup-middleware",
            creation_date=datetime(2026, 1, 1, tzinfo=UTC),
            revision_date=datetime(2026, 1, 1, tzinfo=UTC),
            header_comment=f"# Texts of stepup-middleware: {language}.",
        )
        for message in wanted:
            if not message.id:
                continue
            found = have.get(message.id)
            new.add(message.id, None if found is None else found.string, locations=message.locations)
        (folder / f"{language}.po").write_bytes(written(new))


def main() -> None:
    """Read the command line; exit with 1 if a text lacks in a language."""
    parser = argparse.ArgumentParser(prog="python -m tests.languages", description="What a language lacks.")
    parser.add_argument("--update", action="store_true", help="write the template and bring the catalogues to it")
    chosen = parser.parse_args()
    found = []
    for name in DOMAINS:
        if chosen.update:
            update(name)
        found += faults(name)
    sys.stdout.write("".join(f"{line}\n" for line in found) or "Nothing is missing.\n")
    if found:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
