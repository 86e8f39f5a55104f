"""Text as it is: characters that nobody can see, or that reverse the text around them, are written out.

The text that is bound, signed and logged stays as it came, and so does JSON; this is for pages, windows and consoles.
A right-to-left override in a payee's name would otherwise show another name than the one that is authorized (Unicode
Technical Report 36, §2.10; CVE-2021-42574).
"""

from __future__ import annotations

import re
import unicodedata

# format, control, private use, lone surrogates, line and paragraph separators
_UNSEEN = frozenset({"Cf", "Cc", "Co", "Cs", "Zl", "Zp"})
# letters and marks that are blank all the same (Default_Ignorable_Code_Point, and the empty Braille pattern)
BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_SIGN = re.compile("\u2039(?=U\\+)")  # so that nobody can write an escape by hand
_PLAIN = re.compile(r"[ -~\u00a0-\u00ac\u00ae-\u0233]*")  # where nothing of this can be: most texts


def visible(text: str) -> str:
    """Return a text in which every unseen character stands as its number in angle quotes, such as U+202E.

    Two different texts are never shown alike by this: an escape that stood in the text is itself escaped.
    """
    text = _SIGN.sub(_escape("\u2039"), text)
    if _PLAIN.fullmatch(text):
        return text
    return "".join(_escape(char) if char in BLANK or unicodedata.category(char) in _UNSEEN else char for char in text)


def visible_lines(text: str) -> str:
    """Return the same for a text of several lines: line feeds stay, each line is made visible by itself."""
    return "\n".join(visible(line) for line in text.split("\n"))


def direction(text: str, page: str) -> str:
    """Return the direction (HTML's ``dir``) of a value on a page that reads ``ltr`` or ``rtl``.

    It is the page's where any character of the value is written that way, and the value's own (``auto``) elsewhere. So
    a sentence in the page's language keeps its order where a name of another script begins it, which by its first
    letter alone would turn it round (Unicode Annex 9, P2).
    """
    strong = ("R", "AL") if page == "rtl" else ("L",)
    return page if any(unicodedata.bidirectional(char) in strong for char in text) else "auto"


def _escape(char: str) -> str:
    return f"\u2039U+{ord(char):04X}\u203a"
