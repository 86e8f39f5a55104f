"""RFC 6238 and RFC 4226, one attack per test."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stepup_middleware.ceremonies.totp import (
    ALGORITHMS,
    TOTPSecret,
    matched_step,
    new_secret,
    provisioning_uri,
    read_code,
    read_secret,
)
from stepup_middleware.errors import CeremonyError, FailureReason
from stepup_middleware.testing import totp_code
from tests.vectors import HOTP_SECRET, HOTP_VALUES, TOTP_SEEDS, TOTP_VALUES

from .support import failure_of

SECRET = new_secret(bytes(range(20)))
KEPT = TOTPSecret(SECRET)
NOW = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
STEP = int(NOW.timestamp()) // 30
PERIOD = timedelta(seconds=30)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def code_at(step: int) -> str:
    return totp_code(SECRET, EPOCH + step * PERIOD)


def refusal(code: object, now: datetime = NOW, last_step: int = -1, drift: int = 1) -> FailureReason:
    return failure_of(lambda: matched_step(KEPT, code, now=now, last_step=last_step, drift=drift))


# O01
@pytest.mark.parametrize(("step", "code"), list(enumerate(HOTP_VALUES)))
def test_the_table_of_rfc_4226_matches_its_counters(step: int, code: str) -> None:
    now = EPOCH + step * PERIOD
    assert matched_step(TOTPSecret(new_secret(HOTP_SECRET)), code, now=now, last_step=-1, drift=0) == step


# O01
@pytest.mark.parametrize(
    ("seconds", "step", "code"),
    [(seconds, step, code) for seconds, step, digest, code in TOTP_VALUES if digest == "SHA1"],
)
def test_the_table_of_rfc_6238_matches_its_steps(seconds: int, step: int, code: str) -> None:
    # Six digits are the last six of eight: both are one number modulo a power of ten (RFC 4226 §5.3).
    now = EPOCH + timedelta(seconds=seconds)
    secret = new_secret(TOTP_SEEDS["SHA1"])
    assert matched_step(TOTPSecret(secret), code[-6:], now=now, last_step=step - 1, drift=0) == step


# O01
@pytest.mark.parametrize(("seconds", "step", "digest", "code"), TOTP_VALUES)
def test_the_generator_in_use_knows_the_whole_table_of_rfc_6238(
    seconds: int, step: int, digest: str, code: str
) -> None:
    secret = base64.b32encode(TOTP_SEEDS[digest]).decode().rstrip("=")
    generator = pyotp.TOTP(secret, digits=8, digest=getattr(hashlib, digest.lower()))
    assert generator.at(seconds) == code
    assert generator.timecode(seconds) == step


def test_the_current_code_and_those_one_step_away_match_their_own_steps() -> None:
    for step in (STEP - 1, STEP, STEP + 1):
        assert matched_step(KEPT, code_at(step), now=NOW, last_step=-1) == step


def test_a_code_two_steps_away_is_wrong() -> None:
    assert refusal(code_at(STEP - 2)) is FailureReason.WRONG_CODE
    assert refusal(code_at(STEP + 2)) is FailureReason.WRONG_CODE


def test_without_drift_only_the_current_code_matches() -> None:
    assert matched_step(KEPT, code_at(STEP), now=NOW, last_step=-1, drift=0) == STEP
    assert refusal(code_at(STEP - 1), drift=0) is FailureReason.WRONG_CODE
    assert refusal(code_at(STEP + 1), drift=0) is FailureReason.WRONG_CODE


def test_a_step_begins_and_ends_on_the_second() -> None:
    begin = EPOCH + STEP * PERIOD
    end = begin + PERIOD - timedelta(microseconds=1)
    for now in (begin, end):
        assert matched_step(KEPT, code_at(STEP), now=now, last_step=-1, drift=0) == STEP
    assert refusal(code_at(STEP), now=begin + PERIOD, drift=0) is FailureReason.WRONG_CODE


def test_the_time_zone_of_now_does_not_matter() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    assert matched_step(KEPT, code_at(STEP), now=there, last_step=-1) == STEP


def test_a_wrong_code_of_another_secret_is_wrong() -> None:
    other = totp_code(new_secret(bytes(20)), NOW)
    assert other not in {code_at(step) for step in (STEP - 1, STEP, STEP + 1)}
    assert refusal(other) is FailureReason.WRONG_CODE


# O02, O03, O16
def test_a_step_is_accepted_once() -> None:
    accepted = matched_step(KEPT, code_at(STEP), now=NOW, last_step=-1)
    assert refusal(code_at(STEP), last_step=accepted) is FailureReason.CODE_REPLAYED


# O04
def test_a_spent_code_stays_spent_while_the_window_still_covers_it() -> None:
    assert refusal(code_at(STEP), now=NOW + PERIOD, last_step=STEP) is FailureReason.CODE_REPLAYED


def test_an_older_unused_step_is_refused_after_a_newer_one() -> None:
    assert refusal(code_at(STEP), last_step=STEP + 1) is FailureReason.CODE_REPLAYED


def test_where_two_neighbouring_steps_share_a_code_it_is_spent_for_both() -> None:
    step, code = 1_340_014, "485512"
    assert code_at(step) == code_at(step + 1) == code
    for now in (EPOCH + step * PERIOD, EPOCH + (step + 1) * PERIOD):
        assert matched_step(KEPT, code, now=now, last_step=-1) == step + 1
        assert refusal(code, now=now, last_step=step + 1) is FailureReason.CODE_REPLAYED


# O07
@pytest.mark.parametrize(
    "distort",
    [
        lambda code: " " + code,
        lambda code: code + " ",
        lambda code: code + "\n",
        lambda code: code + "\u00a0",
        lambda code: code[:3] + " " + code[3:],
        lambda code: "".join(chr(ord(digit) + 0xFEE0) for digit in code),
        lambda code: "".join(chr(0x1D7CE + int(digit)) for digit in code),
        lambda code: "".join("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[int(d)] for d in code),
        lambda code: "".join(chr(0x0660 + int(digit)) for digit in code),
        lambda code: "0" + code,
        lambda code: code[:-1],
        lambda code: "+" + code[1:],
        lambda code: code.encode(),
        lambda code: int(code),
        lambda code: float(code),
        lambda code: [code],
        lambda code: list(code),
        lambda code: {"code": code},
    ],
)
def test_the_right_code_in_another_spelling_is_malformed(distort: object) -> None:
    assert callable(distort)
    assert refusal(distort(code_at(STEP))) is FailureReason.MALFORMED


# O08
@pytest.mark.parametrize("code", [None, True, "", "\ud800", "\x00" * 6, "1" * 1_000_000, "abcdef", object()])
def test_a_code_that_is_no_six_digits_is_malformed(code: object) -> None:
    assert refusal(code) is FailureReason.MALFORMED


@given(code=st.text(max_size=12) | st.from_regex(r"[0-9]{6}", fullmatch=True))
def test_any_text_is_matched_or_refused_with_a_ceremony_error(code: str) -> None:
    try:
        step = matched_step(KEPT, code, now=NOW, last_step=-1)
    except CeremonyError as error:
        assert error.reason in {FailureReason.MALFORMED, FailureReason.WRONG_CODE}
    else:
        assert code == code_at(step)


# O11
@pytest.mark.parametrize("drift", [-1, 2, 10**9])
def test_a_drift_other_than_none_or_one_is_a_mistake_of_the_caller(drift: int) -> None:
    with pytest.raises(ValueError, match="drift"):
        matched_step(KEPT, code_at(STEP), now=NOW, last_step=-1, drift=drift)


# O12
def test_a_clock_that_went_back_refuses_older_steps_and_recovers_by_itself() -> None:
    back = NOW - timedelta(minutes=5)
    assert refusal(code_at(STEP - 10), now=back, last_step=STEP) is FailureReason.CODE_REPLAYED
    later = NOW + PERIOD
    assert matched_step(KEPT, code_at(STEP + 1), now=later, last_step=STEP) == STEP + 1


# O13
@pytest.mark.parametrize(
    "now",
    [
        datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=1))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_a_time_without_a_step_matches_no_code(now: datetime) -> None:
    assert refusal("000000", now=now) is FailureReason.WRONG_CODE


# O13
def test_the_first_step_and_the_last_one_of_the_year_9999_work() -> None:
    assert matched_step(KEPT, code_at(0), now=EPOCH, last_step=-1) == 0
    end = datetime.max.replace(tzinfo=UTC)
    assert matched_step(KEPT, totp_code(SECRET, end), now=end, last_step=-1) > STEP


def test_a_naive_now_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="aware"):
        matched_step(KEPT, code_at(STEP), now=NOW.replace(tzinfo=None), last_step=-1)


# O14
def test_a_new_secret_holds_all_of_its_160_bits_or_more() -> None:
    assert SECRET == "AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQT"
    assert base64.b32decode(SECRET) == bytes(range(20))
    assert len(new_secret(bytes(32)).rstrip("=")) == 52


# O14
@pytest.mark.parametrize("size", [0, 10, 16, 19, 129])
def test_a_new_secret_of_too_few_or_too_many_bytes_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="random bytes"):
        new_secret(bytes(size))


# O14
@pytest.mark.parametrize(
    "secret",
    [
        "",
        "JBSWY3DPEHPK3PXP",
        base64.b32encode(bytes(15)).decode().rstrip("="),
        "not base32!",
        "A" * 400,
        "\u00e9" * 32,
    ],
)
def test_a_stored_secret_under_128_bits_or_no_base32_is_never_used(secret: str) -> None:
    verdict = failure_of(lambda: matched_step(TOTPSecret(secret), "123456", now=NOW, last_step=-1))
    assert verdict is FailureReason.UNSUPPORTED_KEY
    with pytest.raises(ValueError, match="secret") as caught:
        provisioning_uri(secret, account="owner@axis.example", issuer="AxisSynapse")
    assert not secret or secret not in str(caught.value)


# O14
def test_a_stored_secret_of_128_bits_still_works() -> None:
    secret = base64.b32encode(bytes(16)).decode().rstrip("=")
    assert matched_step(TOTPSecret(secret), totp_code(secret, NOW), now=NOW, last_step=-1) == STEP


def test_the_uri_is_read_back_by_an_authenticator_app() -> None:
    uri = provisioning_uri(SECRET, account="owner@axis.example", issuer="Axis & Synapse: Näher?")
    parsed = urlsplit(uri)
    assert (parsed.scheme, parsed.netloc) == ("otpauth", "totp")
    assert unquote(parsed.path) == "/Axis & Synapse Näher?:owner@axis.example"
    assert parse_qs(parsed.query)["secret"] == [SECRET]
    assert parse_qs(parsed.query)["issuer"] == ["Axis & Synapse Näher?"]
    app = pyotp.parse_uri(provisioning_uri(SECRET, account="owner@axis.example", issuer="AxisSynapse"))
    assert isinstance(app, pyotp.TOTP)
    assert matched_step(KEPT, app.at(NOW), now=NOW, last_step=-1) == STEP


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_colon_parts_issuer_and_account_and_stands_nowhere_else_in_the_label(account: str, issuer: str) -> None:
    assume(account.replace(":", " ").strip() and issuer.replace(":", " ").strip())
    label = unquote(urlsplit(provisioning_uri(SECRET, account=account, issuer=issuer)).path)
    assert label.count(":") == 1
    assert label.partition(":")[0] == "/" + " ".join(issuer.replace(":", " ").split())


@pytest.mark.parametrize(
    ("account", "issuer"), [("", "AxisSynapse"), ("owner@axis.example", ""), (":", "A"), ("a", ": ")]
)
def test_a_uri_without_account_or_issuer_is_not_made(account: str, issuer: str) -> None:
    with pytest.raises(ValueError, match="account"):
        provisioning_uri(SECRET, account=account, issuer=issuer)


# as people have them


@given(st.text(max_size=12))
def test_whatever_is_read_is_six_ascii_digits_and_read_again_the_same(text: str) -> None:
    code = read_code(text)
    assert code is None or (len(code) == 6 and code.isascii() and code.isdigit() and read_code(code) == code)


@pytest.mark.parametrize(
    "text", [None, 123456, b"123456", "", "12345", "1234567", "12345a", "1" * 65, "0x1234", "12x3456"]
)
def test_what_has_not_six_digits_is_no_code(text: object) -> None:
    assert read_code(text) is None


# RFC 6238 Appendix B: seconds, and the eight digits of SHA-256 and SHA-512
VECTORS = [
    (59, "46119246", "90693936"),
    (1111111109, "68084774", "25091201"),
    (1111111111, "67062674", "99943326"),
    (1234567890, "91819424", "93441116"),
    (2000000000, "90698825", "38618901"),
    (20000000000, "77737706", "47863826"),
]


@pytest.mark.parametrize("period", [30, 60])
@pytest.mark.parametrize(("seconds", "sha256", "sha512"), VECTORS)
def test_an_imported_secret_keeps_its_own_hash_digits_and_period(
    seconds: int, sha256: str, sha512: str, period: int
) -> None:
    seed = b"1234567890" * 7
    now = datetime.fromtimestamp(seconds, UTC)
    for name, size, code in (("SHA256", 32, sha256), ("SHA512", 64, sha512)):
        kept = TOTPSecret(new_secret(seed[:size]), name, 8, period)
        assert read_secret(kept.text()) == kept
        if period == 30:
            assert matched_step(kept, code, now=now, last_step=-1, drift=0) == seconds // 30
        else:
            own = pyotp.TOTP(kept.secret, digits=8, digest=ALGORITHMS[name], interval=60)
            step = matched_step(kept, own.at(now), now=now, last_step=-1, drift=0)
            assert step == seconds // 60 * 2 + 1, "a step of 60 seconds is named by its last 30"
            with pytest.raises(CeremonyError, match="totp_replay"):
                matched_step(kept, own.at(now), now=now, last_step=step, drift=0)
        with pytest.raises(CeremonyError, match="malformed"):
            matched_step(kept, code[-6:], now=now, last_step=-1)


@pytest.mark.parametrize("deviation", [("MD5", 6, 30), ("SHA1", 7, 30), ("SHA1", 6, 15), ("SHA1", 6, 0), ("", 6, 30)])
def test_a_secret_has_no_other_hash_digits_or_period(deviation: tuple[str, int, int]) -> None:
    with pytest.raises(ValueError, match="SHA1, SHA256 or SHA512"):
        TOTPSecret(SECRET, *deviation)
    with pytest.raises(ValueError):
        read_secret(".".join(map(str, deviation)) + "." + SECRET)


@pytest.mark.parametrize(("lengths", "typed", "read"), [((6, 8), "1234 5678", "12345678"), ((8,), "123456", None)])
def test_a_code_has_as_many_digits_as_one_of_the_persons_secrets(
    lengths: tuple[int, ...], typed: str, read: str | None
) -> None:
    assert read_code(typed, lengths) == read


def test_the_text_of_a_secret_is_in_no_repr() -> None:
    assert SECRET not in repr(KEPT)
