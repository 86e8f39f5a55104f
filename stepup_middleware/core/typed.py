"""What people type of codes that they were shown, as they have it."""

from __future__ import annotations

import unicodedata

from .visible import BLANK


def typed(text: object, longest: int) -> str:
    """Return the letters and numbers of what somebody typed, each by its plain character; empty for what is too long.

    Digits of every script count, and full-width letters. All that is no letter or number is left out, wherever it
    stands: blanks, dashes, quotes, invisible characters, and what else apps, pages and keyboards put there.
    """
    if not isinstance(text, str) or len(text) > longest:
        return ""
    plain = (char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char)[0] in "LN")
    return "".join(str(unicodedata.decimal(char, char)) for char in plain if char not in BLANK)
