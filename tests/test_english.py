"""Docstrings and comments say it plainly: the worst habits do not come back."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import stepup_middleware

PACKAGE = Path(stepup_middleware.__file__).parent
BEGIN = r"(?:^|(?<=[.:;!?] ))"
HABITS = {
    "a sentence begins with its subject, not with Whoever or Whatever": BEGIN + r"(?:Whoever|Whatever)\b",
    "a sentence begins with its subject, not with What": r"(?<=[.:;!?] )What (?!if\b)\w",
    "does not have, not has not": r"\b(?:has|have|had) not (?:a|an|any|the)\b",
    "the technical term in place of the picture": r"\b(?:vouch\w*|in motion|holds? (?:nobody|no one) up|worth nothing|"
    r"(?:has|have|had) (?:its|their) turn)\b",
}


def prose(path: Path) -> Iterator[str]:
    """Yield each docstring, and each run of comment lines, as one line of text."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield " ".join((ast.get_docstring(node) or "").split())
    comments: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.append(token.string.lstrip("# "))
        elif token.type not in (tokenize.NL, tokenize.INDENT, tokenize.DEDENT) and comments:
            yield " ".join(comments)
            comments = []


@pytest.mark.parametrize("habit", HABITS)
def test_no_docstring_and_no_comment_of_the_library_has_a_habit_that_is_hard_to_read(habit: str) -> None:
    found = [
        f"{path.relative_to(PACKAGE)}: {text[max(0, match.start() - 30) : match.end() + 60]}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for text in prose(path)
        for match in re.finditer(HABITS[habit], text)
    ]
    assert found == []


def test_the_habits_are_found_where_they_are() -> None:
    texts = ("A lock. Whoever waits.", "Kept. What it has stays.", "It has not a name.", "Nobody vouches for it.")
    for text, pattern in zip(texts, HABITS.values(), strict=True):
        assert re.search(pattern, text)
    assert not any(re.search(pattern, "What a proof is bound to: nothing has changed.") for pattern in HABITS.values())
