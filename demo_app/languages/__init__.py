"""The demo's own texts in each language; what these catalogues lack, the library's have."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from babel import Locale
from babel.numbers import format_currency
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from stepup_middleware import StepUp
from stepup_middleware.languages import Languages, Text, Texts, marked, seen

FOLDER = Path(__file__).parent  # the demo's catalogues
KEY = "language"  # in the session: the language that the person chose
_TEXTS = "axis.texts"  # in a scope: the texts of its language


class Cents(int):
    """An amount in whole cents, written as money where it is read."""


def saying(message: str, /, **values: str | int | Text) -> Text:
    """Return a sentence with values: text as it is, numbers and ``Cents`` as the reader's language writes them."""
    return Text(message, values)


def said_in(texts: Texts, sentence: Text) -> str:
    """Return a sentence in a language."""
    return texts(sentence.message, **{name: _value(texts, value) for name, value in sentence.values.items()})


def _value(texts: Texts, value: object) -> object:
    if isinstance(value, Text):
        return said_in(texts, value)
    if isinstance(value, Cents):
        return money(texts, value)
    return texts.number(value) if isinstance(value, int) else value


def money(texts: Texts, cents: int) -> str:
    """Return whole cents as the language writes an amount: ``USD 412,908.77``, say."""
    locale = Locale.parse(texts.tag, sep="-")
    # the currency by its three letters, with a space between them and the digits (UTS 35, currency spacing)
    pattern = locale.currency_formats["standard"].pattern.replace("¤", "¤¤").replace("¤#", "¤ #").replace("0¤", "0 ¤")
    return seen(format_currency(Decimal(cents) / 100, "USD", pattern, locale=locale))


def kept(sentence: Text) -> str:
    """Return a sentence as a table keeps it, to be read in any language."""
    return json.dumps({"text": sentence.message, "values": {k: _packed(v) for k, v in sentence.values.items()}})


def _packed(value: object) -> object:
    if isinstance(value, Text):
        return {"text": value.message, "values": {k: _packed(v) for k, v in value.values.items()}}
    return {"cents": int(value)} if isinstance(value, Cents) else value


def unpacked(text: str) -> Text:
    """Return a sentence that a table keeps."""
    return _unpacked(json.loads(text))


def _unpacked(packed: Mapping[str, Any]) -> Text:
    def value(each: Any) -> object:
        if not isinstance(each, dict):
            return each
        return Cents(each["cents"]) if "cents" in each else _unpacked(each)

    return Text(packed["text"], {name: value(each) for name, each in packed["values"].items()})


def demo_languages(stepup: StepUp) -> Languages:
    """Return the demo's languages, on top of the library's."""
    return Languages(FOLDER, beneath=stepup.languages)


def language_of(scope: MutableMapping[str, Any]) -> str:
    """Return the language of a request: what ``StepUp(locale=)`` asks for, so that both speak the same."""
    return texts_of(scope).tag


def texts_of(scope: MutableMapping[str, Any]) -> Texts:
    """Return the texts of the language of a request."""
    return cast(Texts, scope[_TEXTS])


class InLanguage:
    """Chooses each request's language: what the person chose, else what their browser accepts; and has it at hand."""

    def __init__(self, app: ASGIApp, languages: Languages) -> None:
        self._app = app
        self._languages = languages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            chosen = scope["session"].get(KEY)
            tag = self._languages.find(chosen) if isinstance(chosen, str) else None
            if tag is None:
                tag = self._languages.negotiate(Headers(scope=scope).get("accept-language", ""))
            scope[_TEXTS] = await self._languages.ready(tag)
        await self._app(scope, receive, send)


__all__ = [
    "Cents",
    "InLanguage",
    "Languages",
    "Text",
    "Texts",
    "day",
    "demo_languages",
    "kept",
    "marked",
    "money",
    "said_in",
    "saying",
]
