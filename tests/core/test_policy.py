"""A workspace's choice, never below the platform's minimum."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.factors import FactorKind, FactorRequirement, stricter
from stepup_middleware.core.policy import PurposePolicy, StoredPolicy, check_policy_write, effective_requirement
from stepup_middleware.core.purposes import PLATFORM_PURPOSES, Purpose
from stepup_middleware.errors import PolicyError
from stepup_middleware.languages import library_languages
from tests.core.support import PAYROLL, WEBHOOK

ANY, PHR = FactorRequirement.ANY, FactorRequirement.PHISHING_RESISTANT
purposes = st.sampled_from(PLATFORM_PURPOSES)


@pytest.mark.parametrize("purpose", PLATFORM_PURPOSES, ids=lambda purpose: purpose.id)
def test_a_workspace_that_chose_nothing_gets_the_minimum(purpose: Purpose) -> None:
    assert effective_requirement(purpose, StoredPolicy()) is purpose.minimum


def test_a_workspace_may_tighten() -> None:
    assert effective_requirement(WEBHOOK, StoredPolicy(values={WEBHOOK.id: "phishing_resistant"})) is PHR


def test_a_workspace_may_loosen_down_to_the_minimum() -> None:
    assert effective_requirement(WEBHOOK, StoredPolicy(values={WEBHOOK.id: "any"})) is ANY


# F04
def test_a_stored_value_below_the_minimum_reads_as_the_minimum() -> None:
    assert effective_requirement(PAYROLL, StoredPolicy(values={PAYROLL.id: "any"})) is PHR


# F09
def test_the_sentence_of_a_refused_write_can_be_said_in_another_language() -> None:
    with pytest.raises(PolicyError) as caught:
        check_policy_write(PAYROLL, "any")
    texts = library_languages().texts("de")
    said = texts(caught.value.message, **caught.value.values)
    assert said.startswith(texts("Payroll ACH transmit") + ": ")
    assert said != caught.value.reason


@pytest.mark.parametrize("word", ["", "ANY", "any ", "phr", "mfa", "none", "null", "0", "weakest"])
def test_a_stored_word_that_nobody_knows_reads_as_the_strictest(word: str) -> None:
    assert effective_requirement(WEBHOOK, StoredPolicy(values={WEBHOOK.id: word})) is PHR


@given(purposes, st.dictionaries(st.sampled_from([p.id for p in PLATFORM_PURPOSES]), st.text()))
def test_whatever_is_stored_the_requirement_is_never_below_the_minimum(
    purpose: Purpose, values: dict[str, str]
) -> None:
    requirement = effective_requirement(purpose, StoredPolicy(values=values))
    assert requirement.strength >= purpose.minimum.strength
    if purpose.id in values and values[purpose.id] != "any":
        assert requirement is PHR


def test_the_choice_for_one_purpose_is_not_that_for_another() -> None:
    assert effective_requirement(WEBHOOK, StoredPolicy(values={"custom_domain_change": "phishing_resistant"})) is ANY


# F04
def test_a_write_below_the_minimum_is_refused_with_a_sentence_for_the_admin() -> None:
    with pytest.raises(PolicyError) as caught:
        check_policy_write(PAYROLL, "any")
    assert caught.value.reason.startswith("Payroll ACH transmit:")
    assert "minimum" in caught.value.reason


@pytest.mark.parametrize("word", ["", "ANY", "phr", "strict", "phishing_resistant "])
def test_a_write_of_an_unknown_word_is_refused(word: str) -> None:
    with pytest.raises(PolicyError, match="phishing_resistant"):
        check_policy_write(WEBHOOK, word)


@given(purposes, st.text() | st.sampled_from(["any", "phishing_resistant"]))
def test_what_a_write_lets_through_is_what_will_be_asked_for(purpose: Purpose, word: str) -> None:
    try:
        saved = check_policy_write(purpose, word)
    except PolicyError:
        return
    assert effective_requirement(purpose, StoredPolicy(values={purpose.id: saved.value})).value == word


def test_a_purposes_policy_tells_its_minimum() -> None:
    assert PurposePolicy(purpose=PAYROLL, requirement=PHR).minimum is PHR


def test_any_accepts_every_kind_and_phishing_resistant_only_webauthn() -> None:
    assert ANY.kinds() == (FactorKind.PASSKEY, FactorKind.HARDWARE_KEY, FactorKind.TOTP)
    assert PHR.kinds() == (FactorKind.PASSKEY, FactorKind.HARDWARE_KEY)
    assert not PHR.accepts(FactorKind.TOTP)


@pytest.mark.parametrize("requirement", FactorRequirement)
def test_the_kinds_of_a_requirement_are_those_that_it_accepts(requirement: FactorRequirement) -> None:
    assert set(requirement.kinds()) == {kind for kind in FactorKind if requirement.accepts(kind)}


def test_the_stricter_of_two_is_the_stricter_in_either_order() -> None:
    assert stricter(ANY, PHR) is stricter(PHR, ANY) is stricter(PHR, PHR) is PHR
    assert stricter(ANY, ANY) is ANY


def test_acr_and_amr_are_the_words_of_their_standards() -> None:
    assert (ANY.acr, PHR.acr) == ("mfa", "phr")
    assert FactorKind.TOTP.amr == ("otp", "mfa")
    assert FactorKind.HARDWARE_KEY.amr == ("hwk", "user", "mfa")
    assert FactorKind.PASSKEY.amr == ("swk", "user", "mfa")


def test_the_words_of_the_wire_format_are_fixed() -> None:
    assert [kind.value for kind in FactorKind] == ["passkey", "hardware_key", "totp"]
    assert [requirement.value for requirement in FactorRequirement] == ["any", "phishing_resistant"]
