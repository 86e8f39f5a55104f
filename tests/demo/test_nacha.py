"""The NACHA file, read back by a parser of its own: field positions from the Nacha Operating Rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest

from demo_app.areas.payroll import ORIGINATOR, transmit_run
from demo_app.axis import Actor
from demo_app.db import Database
from demo_app.languages import said_in
from demo_app.nacha import Credit, check_digit, is_banking_day, nacha_file, next_banking_day
from stepup_middleware.languages import library_languages

NOW = datetime(2026, 11, 24, 12, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    code: str
    routing: str
    account: str
    cents: int
    name: str
    trace: str


@dataclass(frozen=True)
class Parsed:
    entries: list[Entry]
    credits: int
    effective: str
    lines: list[str]


def field(record: str, first: int, last: int) -> str:
    """Return the characters at two positions of the rules, both counted from 1 and included."""
    return record[first - 1 : last]


def parse(content: bytes) -> Parsed:
    """Read a file of one batch of PPD credits and hold it to the rules."""
    lines = content.decode("ascii").split("\r\n")
    assert lines.pop() == "", "the last record ends as the others do"
    assert all(len(line) == 94 for line in lines), "every record has 94 characters"
    assert len(lines) % 10 == 0, "the file is blocked by ten"
    padding = [line for line in lines if line == "9" * 94]
    records = lines[: len(lines) - len(padding)]
    assert lines[len(records) :] == padding, "padding stands at the end alone"
    header, batch, *details, batch_control, control = records

    assert field(header, 1, 3) == "101"
    assert field(header, 4, 4) == " ", "a blank stands before the destination's routing number"
    assert_routing(field(header, 5, 13))
    assert datetime.strptime(field(header, 24, 33), "%y%m%d%H%M").replace(tzinfo=UTC) == NOW.replace(second=0)
    assert field(header, 34, 34) == "A"
    assert field(header, 35, 40) == "094101", "record size, blocking factor, format code"

    assert field(batch, 1, 1) == "5"
    assert field(batch, 2, 4) == "220", "credits only"
    assert field(batch, 51, 53) == "PPD"
    assert field(batch, 76, 78) == "   ", "the settlement date is the operator's to fill in"
    assert field(batch, 79, 79) == "1"
    odfi = field(batch, 80, 87)
    assert odfi == field(header, 5, 12)

    entries = [
        Entry(
            code=field(line, 2, 3),
            routing=field(line, 4, 12),
            account=field(line, 13, 29).rstrip(),
            cents=int(field(line, 30, 39)),
            name=field(line, 55, 76).rstrip(),
            trace=field(line, 80, 94),
        )
        for line in details
    ]
    for line, entry in zip(details, entries, strict=True):
        assert field(line, 1, 1) == "6"
        assert entry.code in ("22", "32"), "a live credit to checking or savings"
        assert_routing(entry.routing)
        assert field(line, 79, 79) == "0", "no addenda"
    assert [entry.trace for entry in entries] == [f"{odfi}{place:07d}" for place in range(1, len(entries) + 1)]

    entry_hash = str(sum(int(entry.routing[:8]) for entry in entries))[-10:].zfill(10)
    credits = sum(entry.cents for entry in entries)
    assert field(batch_control, 1, 4) == "8220"
    assert int(field(batch_control, 5, 10)) == len(entries)
    assert field(batch_control, 11, 20) == entry_hash
    assert int(field(batch_control, 21, 32)) == 0
    assert int(field(batch_control, 33, 44)) == credits
    assert field(batch_control, 45, 54) == field(batch, 41, 50)
    assert field(batch_control, 80, 94) == field(batch, 80, 94), "same bank, same batch number"

    assert field(control, 1, 1) == "9"
    assert int(field(control, 2, 7)) == 1
    assert int(field(control, 8, 13)) == len(lines) // 10
    assert int(field(control, 14, 21)) == len(entries)
    assert field(control, 22, 31) == entry_hash
    assert int(field(control, 32, 43)) == 0
    assert int(field(control, 44, 55)) == credits
    assert field(control, 56, 94).strip() == ""
    return Parsed(entries=entries, credits=credits, effective=field(batch, 70, 75), lines=lines)


def assert_routing(number: str) -> None:
    """Hold a routing number to its check digit: the weighted sum of all nine digits is a multiple of ten."""
    assert sum(int(digit) * weight for digit, weight in zip(number, (3, 7, 1) * 3, strict=True)) % 10 == 0


def credit(cents: int = 1, *, bank: str = "99100001", name: str = "Employee 0001") -> Credit:
    return Credit(
        routing_number=bank + check_digit(bank),
        account_number="4000104729",
        account_type="checking",
        cents=cents,
        identification="EMP0001",
        name=name,
    )


def written(*credits: Credit) -> bytes:
    return nacha_file(ORIGINATOR, credits, description="PAYROLL", effective=date(2026, 11, 25), now=NOW)


async def test_the_file_of_a_transmitted_run_pays_everyone_on_it(
    database: Database, acting: Callable[[str], Actor]
) -> None:
    actor = Actor(account_id="owner", at=NOW, proof=None)
    said = await transmit_run(database, "2026-06", actor)
    row = await database.one("SELECT state, file FROM payroll_run WHERE id = '2026-06'")
    assert row is not None
    parsed = parse(row["file"])
    assert row["state"] == "transmitted"
    assert said_in(library_languages().texts("en"), said) == (
        "Payroll run 2026-06 transmitted. Deposits: 214, USD 412,908.77."
    )
    assert len(parsed.entries) == 214
    assert parsed.credits == 41_290_877
    owed = await database.all(
        "SELECT account_number, cents FROM payment JOIN employee ON number = employee WHERE run_id = '2026-06'"
    )
    assert sorted((entry.account, entry.cents) for entry in parsed.entries) == sorted(map(tuple, owed))


@pytest.mark.parametrize("people", [1, 5, 6, 7, 16, 17])
def test_the_block_count_holds_whether_or_not_padding_is_needed(people: int) -> None:
    parsed = parse(written(*(credit(cents) for cents in range(1, people + 1))))
    assert len(parsed.lines) == -(-(people + 4) // 10) * 10


def test_the_entry_hash_keeps_its_ten_rightmost_digits() -> None:
    assert len(parse(written(*(credit() for _ in range(150)))).entries) == 150  # 150 x 99100001 has eleven digits


@pytest.mark.parametrize(
    ("name", "in_the_file"),
    [
        ("José Muñoz", "JOSE MUNOZ"),
        ("李小龍", "LIXIAOLONG"),
        ("Zoë\r\nß" + "x" * 40, "ZOE SS" + "X" * 16),
        ("Kateřina  Černá", "KATERINA CERNA"),
    ],
)
def test_a_name_in_letters_outside_ascii_can_still_be_read_by_the_receiving_bank(name: str, in_the_file: str) -> None:
    assert parse(written(credit(name=name))).entries[0].name == in_the_file


@pytest.mark.parametrize("name", ["", "\x00\x1b", "\u200b"])
def test_an_entry_without_a_name_that_can_be_written_has_the_identification_in_its_place(name: str) -> None:
    assert parse(written(credit(name=name))).entries[0].name == "EMP0001"


@pytest.mark.parametrize("cents", [0, -1, 10**10])
def test_an_amount_that_does_not_fit_its_field_is_refused(cents: int) -> None:
    with pytest.raises(ValueError, match=r"amount|digits"):
        written(credit(cents))


def test_a_routing_number_with_a_wrong_check_digit_is_refused() -> None:
    wrong = "991000010" if check_digit("99100001") != "0" else "991000011"
    broken = Credit(
        routing_number=wrong,
        account_number="1",
        account_type="savings",
        cents=1,
        identification="EMP0001",
        name="Employee 0001",
    )
    with pytest.raises(ValueError, match="not a routing number"):
        written(broken)


@pytest.mark.parametrize("number", ["", "1" * 18, " 1", "1\r\n", "\uff11", "1\u200b2"])
def test_an_account_whose_number_its_field_cannot_hold_as_it_is_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="none of up to 17 characters"):
        written(replace(credit(), account_number=number))


@pytest.mark.parametrize("number", ["1" * 17, "00-12 3", "AB1"])
def test_the_number_of_an_account_is_written_as_it_is(number: str) -> None:
    assert parse(written(replace(credit(), account_number=number))).entries[0].account == number


def test_a_run_without_employees_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one entry"):
        written()


@pytest.mark.parametrize(
    ("day", "settles"),
    [
        (date(2026, 11, 24), date(2026, 11, 25)),
        (date(2026, 11, 25), date(2026, 11, 27)),  # over Thanksgiving
        (date(2026, 11, 27), date(2026, 11, 30)),
        (date(2026, 12, 24), date(2026, 12, 28)),
        (date(2027, 7, 2), date(2027, 7, 6)),  # the 4th of July is a Sunday, kept on Monday
        (date(2026, 7, 2), date(2026, 7, 3)),  # a Saturday closes no other day
        (date(2027, 5, 28), date(2027, 6, 1)),  # Memorial Day is the last Monday, here the fifth
        (date(2026, 5, 22), date(2026, 5, 26)),
    ],
)
def test_credits_settle_on_the_next_banking_day(day: date, settles: date) -> None:
    assert next_banking_day(day) == settles


# Holiday schedule of the Federal Reserve Banks: https://www.frbservices.org/about/holiday-schedules
@pytest.mark.parametrize(
    ("year", "closed"),
    [
        (2026, "01-01 01-19 02-16 05-25 06-19 09-07 10-12 11-11 11-26 12-25"),
        (2027, "01-01 01-18 02-15 05-31 07-05 09-06 10-11 11-11 11-25"),
        (2028, "01-17 02-21 05-29 06-19 07-04 09-04 10-09 11-23 12-25"),
    ],
)
def test_the_weekdays_without_settlement_are_those_of_the_federal_reserve(year: int, closed: str) -> None:
    days = [date(year, 1, 1) + timedelta(days=count) for count in range(365)]
    weekdays = [day for day in days if day.weekday() < 5]
    assert [f"{day:%m-%d}" for day in weekdays if not is_banking_day(day)] == closed.split()


@pytest.mark.parametrize(
    ("pay_date", "settles"), [("2026-11-26", "261127"), ("2026-12-31", "261231"), ("2026-01-05", "261125")]
)
async def test_a_run_settles_on_its_pay_date_or_on_the_next_day_on_which_banks_do(
    database: Database, pay_date: str, settles: str
) -> None:
    async with database.write() as change:
        await change.run("UPDATE payroll_run SET pay_date = ? WHERE id = '2026-06'", pay_date)
    await transmit_run(database, "2026-06", Actor(account_id="owner", at=NOW, proof=None))
    row = await database.one("SELECT file FROM payroll_run WHERE id = '2026-06'")
    assert row is not None
    assert parse(row["file"]).effective == settles
