"""NACHA files: payroll direct deposit as the bank reads it.

Field positions are those of the Nacha Operating Rules, appendix "ACH File Exchange Specifications": records
of 94 characters, blocked by ten, one PPD batch of credits (service class 220).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from anyascii import anyascii
from holidays import financial_holidays

_RECORD = 94
_BLOCKING = 10
_CREDITS_ONLY = "220"
_CREDIT_CODE = {"checking": "22", "savings": "32"}
_HASH_MODULUS = 10**10  # the entry hash keeps its ten rightmost digits
_WEIGHTS = (3, 7, 1, 3, 7, 1, 3, 7)
_SATURDAY = 5
_CLOSED = financial_holidays("XFED")  # by year, as they are asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Originator:
    """Who pays: ``routing_number`` is the originating bank's nine digits, ``company_id`` ten characters."""

    routing_number: str
    bank_name: str
    company_id: str
    company_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """One employee's deposit in whole cents."""

    routing_number: str
    account_number: str
    account_type: str
    cents: int
    identification: str
    name: str


def check_digit(first_eight: str) -> str:
    """Return the ninth digit of a routing number (ABA key to routing numbers)."""
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, first_eight, strict=True))
    return str(-total % 10)


def is_banking_day(day: date) -> bool:
    """Whether the Federal Reserve Banks are open, and ACH credits can settle.

    They close on Saturdays, Sundays and eleven holidays (Regulation CC, 12 CFR 229.2(g)). A holiday on a Sunday is
    kept on the Monday after it; one on a Saturday closes no other day.
    """
    return day.weekday() < _SATURDAY and day not in _CLOSED


def next_banking_day(after: date) -> date:
    """Return the first banking day after a date, the earliest on which ACH credits settle."""
    day = after + timedelta(days=1)
    while not is_banking_day(day):
        day += timedelta(days=1)
    return day


def nacha_file(
    originator: Originator, credits: Sequence[Credit], *, description: str, effective: date, now: datetime
) -> bytes:
    """Write the file of one payroll run; lines end with CR LF, the last block is filled with nines.

    Names are written as far as they fit. Raises ``ValueError`` for a routing number whose check digit is wrong, for
    the number of an account or a company that its field cannot hold as it is, for an amount that does not fit its
    field or is not positive, and for a run without employees.
    """
    if not credits:
        raise ValueError("a payroll file needs at least one entry")
    odfi = _routing(originator.routing_number)
    entries = [_entry(credit, odfi, sequence) for sequence, credit in enumerate(credits, start=1)]
    entry_hash = _number(sum(int(credit.routing_number[:8]) for credit in credits) % _HASH_MODULUS, 10)
    total = _number(sum(credit.cents for credit in credits), 12)
    company = _exact(originator.company_id, 10)
    records = [
        "101"
        + f" {originator.routing_number}"
        + company
        + f"{now:%y%m%d%H%M}"
        + "A094101"
        + _text(originator.bank_name, 23)
        + _text(originator.company_name, 23)
        + _text("", 8),
        "5"
        + _CREDITS_ONLY
        + _text(originator.company_name, 16)
        + _text("", 20)
        + company
        + "PPD"
        + _text(description, 10)
        + f"{effective:%y%m%d}{effective:%y%m%d}"
        + _text("", 3)
        + "1"
        + odfi
        + _number(1, 7),
        *entries,
        "8"
        + _CREDITS_ONLY
        + _number(len(entries), 6)
        + entry_hash
        + _number(0, 12)
        + total
        + company
        + _text("", 25)
        + odfi
        + _number(1, 7),
    ]
    blocks = -(-(len(records) + 1) // _BLOCKING)
    records.append(
        "9"
        + _number(1, 6)
        + _number(blocks, 6)
        + _number(len(entries), 8)
        + entry_hash
        + _number(0, 12)
        + total
        + _text("", 39)
    )
    records.extend("9" * _RECORD for _ in range(blocks * _BLOCKING - len(records)))
    if any(len(record) != _RECORD for record in records):
        raise ValueError("a record is not 94 characters long")
    return "".join(record + "\r\n" for record in records).encode("ascii")


def _entry(credit: Credit, odfi: str, sequence: int) -> str:
    _routing(credit.routing_number)
    if credit.cents <= 0:
        raise ValueError(f"an amount must be positive: {credit.identification}")
    return (
        "6"
        + _CREDIT_CODE[credit.account_type]
        + credit.routing_number
        + _exact(credit.account_number, 17)
        + _number(credit.cents, 10)
        + _text(credit.identification, 15)
        + (_text(credit.name, 22) if _text(credit.name, 1).strip() else _text(credit.identification, 22))
        + "  0"
        + odfi
        + _number(sequence, 7)
    )


def _routing(number: str) -> str:
    if len(number) != 9 or not number.isascii() or not number.isdigit() or check_digit(number[:8]) != number[8]:
        raise ValueError(f"not a routing number: {number!r}")
    return number[:8]


def _number(value: int, width: int) -> str:
    text = f"{value:0{width}d}"
    if len(text) != width:
        raise ValueError(f"{value} does not fit {width} digits")
    return text


def _exact(value: str, width: int) -> str:
    """Return what says where money goes or comes from: one cut or rewritten would be another one."""
    if not 0 < len(value) <= width or value.strip() != value or not (value.isascii() and value.isprintable()):
        raise ValueError(f"the number of an account or company is none of up to {width} characters")
    return value.ljust(width)


def _text(value: str, width: int) -> str:
    """Return a text as a file of ASCII can carry it: letters of any script are written in Latin ones."""
    latin = "".join(letter if " " <= letter <= "~" else " " for letter in anyascii(value).upper())
    return " ".join(latin.split())[:width].ljust(width)
