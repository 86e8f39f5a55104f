"""The answers when an action does not run: stable codes, and sentences that help."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.languages import library_languages

LANGUAGES = library_languages()

STATUSES = {
    "STEPUP_REQUIRED": 401,
    "STEPUP_TOKEN_EXPIRED": 401,
    "STEPUP_FACTOR_INSUFFICIENT": 403,
    "STEPUP_TOKEN_REUSED": 403,
    "STEPUP_IP_MISMATCH": 403,
    "STEPUP_VERIFICATION_FAILED": 400,
    "STEPUP_PROMPT_NOT_FOUND": 404,
    "STEPUP_RATE_LIMITED": 429,
    "STEPUP_UNAVAILABLE": 503,
    "STEPUP_NOT_SIGNED_IN": 401,
}
BLAMING = ("invalid", "error", "illegal", "forbidden", "denied", "failed", "bad ")


@pytest.mark.parametrize(("code", "status"), STATUSES.items())
def test_each_code_has_its_status(code: str, status: int) -> None:
    assert RefusalCode(code).status == status


@pytest.mark.parametrize("code", RefusalCode)
def test_each_answer_has_a_title_and_a_sentence_that_tells_what_to_do(code: RefusalCode) -> None:
    assert code.value.startswith("STEPUP_")
    assert 400 <= code.status < 600
    assert code.heading
    assert not code.heading.endswith(".")
    assert code.detail.endswith(".")
    assert not any(word in code.detail.casefold() for word in BLAMING)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (RefusalCode.TOKEN_EXPIRED, "click the action again"),
        (RefusalCode.FACTOR_INSUFFICIENT, "enrol a passkey or hardware key"),
        (RefusalCode.IP_MISMATCH, "from the network where you began"),
        (RefusalCode.TOKEN_REUSED, "if this was not you, tell your security team now"),
        (RefusalCode.PROMPT_NOT_FOUND, "click the action again"),
        (RefusalCode.UNAVAILABLE, "the action has not run"),
    ],
)
def test_the_sentence_tells_the_fix_in_the_promised_words(code: RefusalCode, words: str) -> None:
    assert words in code.detail.casefold()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (150, "3 minutes"), (3600, "1 hour")],
)
def test_who_is_to_wait_is_told_how_long(seconds: int, said: str) -> None:
    refusal = Refusal(code=RefusalCode.RATE_LIMITED, retry_after_seconds=seconds)
    assert LANGUAGES.texts("en")(refusal.wording).startswith(f"Wait {said}, then try again.")
    for tag in LANGUAGES.tags:
        told = LANGUAGES.texts(tag)(refusal.wording)
        assert "span" not in told
        assert LANGUAGES.texts(tag).span(timedelta(seconds=seconds)) in told


def test_who_is_not_signed_in_learns_nothing_of_purpose_or_factor() -> None:
    code = RefusalCode.NOT_SIGNED_IN
    text = (code.heading + code.detail).casefold()
    assert not any(word in text for word in ("purpose", "factor", "passkey", "step-up", "confirm", "authoriz"))


def test_a_sentence_of_its_own_replaces_the_codes_sentence() -> None:
    assert Refusal(code=RefusalCode.REQUIRED).sentence == RefusalCode.REQUIRED.detail
    assert Refusal(code=RefusalCode.REQUIRED, detail="Own words.").sentence == "Own words."
    assert Refusal(code=RefusalCode.RATE_LIMITED).status == 429
