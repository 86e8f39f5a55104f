"""What one answer to several prompts commits to, and what the evidence of each tells."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepup_middleware.core.batches import (
    BatchCommitment,
    commit_to_all,
    item_hash,
    question_of,
    total_hash,
    total_of,
)
from stepup_middleware.core.challenge import commit, describe
from stepup_middleware.core.factors import EnrolledFactor, FactorKind, FactorRequirement
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.prompts import Prompt, ask
from tests.core.support import asked, texts

SECRET = bytes(range(32))


def prompt_with(**changes: Any) -> Prompt:
    made = ask(asked(), StoredPolicy(version=4), [EnrolledFactor("p", FactorKind.PASSKEY)])
    assert isinstance(made, Prompt)
    return replace(made, **changes)


detail = st.tuples(texts, texts)
details = st.lists(detail, max_size=3).map(tuple)
prompts = st.lists(details, min_size=1, max_size=6).map(
    lambda each: tuple(prompt_with(id=f"prompt-{at}", details=pairs) for at, pairs in enumerate(each))
)
secrets_ = st.binary(min_size=32, max_size=32)
totals = st.none() | detail


@given(secrets_, prompts, totals)
def test_the_challenge_is_the_nonce_the_total_and_the_hash_of_every_description(
    secret: bytes, several: tuple[Prompt, ...], total: Any
) -> None:
    batch = BatchCommitment(secret, several, total)
    for prompt in several:
        item = batch.items()[prompt.id]
        assert item.commits_to(describe(prompt.description()))
        assert commit_to_all(batch.nonce, item.hashes, item.total) == batch.challenge()
        by_hand = b"stepup-batch-challenge-v1\0" + batch.nonce + item.total + b"".join(item.hashes)
        assert batch.challenge() == sha256(by_hand).digest()


@given(secrets_, prompts, totals, st.data())
def test_any_change_of_what_was_shown_is_another_challenge(
    secret: bytes, several: tuple[Prompt, ...], total: Any, data: st.DataObject
) -> None:
    shown = BatchCommitment(secret, several, total)
    at = data.draw(st.integers(0, len(several) - 1))
    changed = list(several)
    changed[at] = replace(changed[at], details=(*changed[at].details, ("More", "1")))
    others = [
        BatchCommitment(secret, tuple(changed), total),
        BatchCommitment(secret, (*several, prompt_with(id="another")), total),
        BatchCommitment(secret, several, ("Total", "another")) if total != ("Total", "another") else None,
        BatchCommitment(secret, several[1:], total),
        BatchCommitment(bytes(32) if any(secret) else SECRET, several, total),
    ]
    assert shown.challenge() not in {other.challenge() for other in others if other is not None}
    assert not shown.items()[several[at].id].commits_to(describe(changed[at].description()))


@given(secrets_, prompts, prompts)
def test_what_is_kept_with_one_prompt_is_the_same_but_for_hashes_whatever_the_others_say(
    secret: bytes, several: tuple[Prompt, ...], others: tuple[Prompt, ...]
) -> None:
    """So nothing of the others is in it but what their salted hashes are."""
    first = several[0]
    size = min(len(several), len(others))
    one = BatchCommitment(secret, (first, *several[1:size]), None).items()[first.id]
    other = BatchCommitment(secret, (first, *others[1:size]), None).items()[first.id]
    assert (one.salt, len(one.hashes), one.hashes[0]) == (other.salt, len(other.hashes), other.hashes[0])


@given(secrets_, prompts)
def test_salts_and_nonce_differ_and_none_of_them_is_the_secret(secret: bytes, several: tuple[Prompt, ...]) -> None:
    batch = BatchCommitment(secret, several, None)
    derived = [batch.nonce, *(batch.salt(prompt) for prompt in several)]
    assert len({*derived, secret}) == len(several) + 2


def test_a_challenge_of_several_is_never_one_of_a_single_prompt() -> None:
    prompt = prompt_with()
    batch = BatchCommitment(SECRET, (prompt,), None)
    singles = [commit(nonce, describe(prompt.description())) for nonce in (SECRET, batch.nonce)]
    assert batch.challenge() not in singles


def test_who_has_every_salt_can_tell_the_total_and_who_lacks_one_cannot() -> None:
    batch = BatchCommitment(SECRET, (prompt_with(id="a"), prompt_with(id="b")), ("Total", "USD 7"))
    salts = [batch.salt(prompt) for prompt in batch.prompts]
    kept = batch.items()["a"].total
    assert kept == total_hash(salts, ("Total", "USD 7"))
    assert kept not in (total_hash(salts, ("Total", "USD 8")), total_hash(salts[:1], ("Total", "USD 7")))
    assert kept != total_hash(salts, None)


def test_a_description_that_stands_there_twice_is_not_committed_to() -> None:
    prompt = prompt_with()
    item = BatchCommitment(SECRET, (prompt,), None).items()[prompt.id]
    assert not replace(item, hashes=item.hashes * 2).commits_to(describe(prompt.description()))
    assert item_hash(item.salt, describe(prompt.description())) == item.hashes[0]


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_nonce_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32"):
        commit_to_all(bytes(length), [], bytes(32))


@pytest.mark.parametrize(
    "change",
    [
        {"workspace_id": "other"},
        {"subject_id": "bob"},
        {"session": "other"},
        {"ip": "192.0.2.99"},
        {"purpose": "audit_log_export"},
        {"requirement": FactorRequirement.ANY},
        {"locale": "de"},
        {"actor": "agent"},
        {"client": "a program"},
        {"title": "another"},
        {"consequence": "another"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_prompts_that_differ_in_more_than_request_and_details_are_not_one_question(change: dict[str, Any]) -> None:
    prompt = prompt_with()
    assert question_of(replace(prompt, **change)) != question_of(prompt)
    assert question_of(replace(prompt, id="other", details=(("Run", "7"),))) == question_of(prompt)


def test_the_total_is_what_the_app_makes_of_the_details_in_their_order() -> None:
    several = [prompt_with(details=(("Total", str(amount)),)) for amount in (3, 4)]
    made = total_of(
        several, {several[0].purpose: lambda shown, _: ("Sum", json.dumps([pairs[0][1] for pairs in shown]))}
    )
    assert made == ("Sum", '["3", "4"]')
    assert total_of(several, {}) is None
    assert total_of(several, {several[0].purpose: lambda *_: None}) is None


@pytest.mark.parametrize("wrong", [("Total", 7), "Total", ("Total",), 7, ("a", "b", "c")])
def test_a_total_that_is_no_label_and_text_is_refused(wrong: Any) -> None:
    prompt = prompt_with()
    with pytest.raises(TypeError):
        total_of([prompt], {prompt.purpose: lambda *_: wrong})
