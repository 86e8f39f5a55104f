"""Year-end files in the shapes that the tax offices take.

W-2: SSA publication EFW2 (records of 512). 1099-NEC: IRS publication 1220 (records of 750). T4: the CRA's XML
return. 1095-C: the IRS AIR XML. Money is whole cents; the figures of a file's totals are computed from its slips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

_EFW2_RECORD = 512
_1220_RECORD = 748  # plus CR LF: 750
_SOCIAL_SECURITY_PERMILLE = 62
_MEDICARE_PERMYRIAD = 145


@dataclass(frozen=True, slots=True, kw_only=True)
class Employer:
    """Who files: ``tax_id`` is nine digits (EIN), ``payroll_account`` the CRA's fifteen characters."""

    name: str
    tax_id: str
    payroll_account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """One recipient's year: ``tax_id`` nine digits, money in cents."""

    number: int
    name: str
    tax_id: str
    paid_cents: int
    tax_cents: int


def tax_file(form: str, employer: Employer, year: int, slips: Sequence[Slip]) -> tuple[str, bytes]:
    """Return the file's name and content for a form of a year.

    Raises ``KeyError`` for a form that is not one of the four, ``ValueError`` when there is nobody to report.
    """
    if not slips:
        raise ValueError("a year-end file needs at least one recipient")
    write, suffix = _WRITERS[form]
    return f"{form.lower()}-{year}.{suffix}", write(employer, year, slips)


def _w2(employer: Employer, year: int, slips: Sequence[Slip]) -> bytes:
    records = [
        _fields(_EFW2_RECORD, {1: "RA", 3: employer.tax_id, 36: "98", 38: employer.name[:57].upper()}),
        _fields(
            _EFW2_RECORD,
            {1: "RE", 3: f"{year}", 8: employer.tax_id, 40: employer.name[:57].upper(), 219: "R"},
        ),
    ]
    totals = [0] * 6
    for slip in slips:
        boxes = _w2_boxes(slip)
        totals = [total + box for total, box in zip(totals, boxes, strict=True)]
        first, _, last = slip.name.upper().partition(" ")
        money = {188 + 11 * place: f"{cents:011d}" for place, cents in enumerate(boxes)}
        records.append(_fields(_EFW2_RECORD, {1: "RW", 3: slip.tax_id, 12: first[:15], 42: last[:20], **money}))
    sums = {10 + 15 * place: f"{cents:015d}" for place, cents in enumerate(totals)}
    records.append(_fields(_EFW2_RECORD, {1: "RT", 3: f"{len(slips):07d}", **sums}))
    records.append(_fields(_EFW2_RECORD, {1: "RF", 8: f"{len(slips):09d}"}))
    return _lines(records)


def _w2_boxes(slip: Slip) -> tuple[int, ...]:
    """Return boxes 1 to 6: wages, tax, social security wages and tax, Medicare wages and tax."""
    social_security = slip.paid_cents * _SOCIAL_SECURITY_PERMILLE // 1000
    medicare = slip.paid_cents * _MEDICARE_PERMYRIAD // 10000
    return slip.paid_cents, slip.tax_cents, slip.paid_cents, social_security, slip.paid_cents, medicare


def _1099_nec(employer: Employer, year: int, slips: Sequence[Slip]) -> bytes:
    count = f"{len(slips):08d}"
    total = sum(slip.paid_cents for slip in slips)
    name = employer.name.upper()[:40]
    records = [
        _fields(_1220_RECORD, {1: "T", 2: f"{year}", 7: employer.tax_id, 30: name, 296: count}),
        _fields(_1220_RECORD, {1: "A", 2: f"{year}", 12: employer.tax_id, 26: "NE", 28: "1", 53: name}),
    ]
    records += [
        _fields(
            _1220_RECORD,
            {
                1: "B",
                2: f"{year}",
                7: slip.name.upper().replace(" ", "")[:4],
                11: "2",
                12: slip.tax_id,
                21: f"{slip.number:020d}",
                55: f"{slip.paid_cents:012d}",
                288: slip.name.upper()[:40],
            },
        )
        for slip in slips
    ]
    records += [
        _fields(_1220_RECORD, {1: "C", 2: count, 16: f"{total:018d}"}),
        _fields(_1220_RECORD, {1: "F", 2: f"{1:08d}", 10: "0" * 21, 50: count}),
    ]
    numbered = [record[:499] + f"{place:08d}" + record[507:] for place, record in enumerate(records, start=1)]
    return _lines(numbered)


def _t4(employer: Employer, year: int, slips: Sequence[Slip]) -> bytes:
    root = ET.Element("Submission")
    t4 = ET.SubElement(ET.SubElement(root, "Return"), "T4")
    for slip in slips:
        given, _, surname = slip.name.partition(" ")
        element = ET.SubElement(t4, "T4Slip")
        name = ET.SubElement(element, "EMPE_NM")
        _leaf(name, "snm", surname)
        _leaf(name, "gvn_nm", given)
        _leaf(element, "sin", slip.tax_id)
        _leaf(element, "bn", employer.payroll_account)
        amounts = ET.SubElement(element, "T4_AMT")
        _leaf(amounts, "empt_incamt", _decimal(slip.paid_cents))
        _leaf(amounts, "itx_ddct_amt", _decimal(slip.tax_cents))
    summary = ET.SubElement(t4, "T4Summary")
    _leaf(summary, "bn", employer.payroll_account)
    _leaf(ET.SubElement(summary, "EMPR_NM"), "l1_nm", employer.name)
    _leaf(summary, "tx_yr", f"{year}")
    _leaf(summary, "slp_cnt", f"{len(slips)}")
    totals = ET.SubElement(summary, "T4_TAMT")
    _leaf(totals, "tot_empt_incamt", _decimal(sum(slip.paid_cents for slip in slips)))
    _leaf(totals, "tot_itx_ddct_amt", _decimal(sum(slip.tax_cents for slip in slips)))
    return _xml(root)


def _1095_c(employer: Employer, year: int, slips: Sequence[Slip]) -> bytes:
    root = ET.Element("Form109495CTransmittalUpstream", {"xmlns": "urn:us:gov:treasury:irs:ext:aca:air:ty26"})
    summary = ET.SubElement(root, "Form1094CUpstreamDetail")
    _leaf(summary, "SubmissionId", "1")
    _leaf(summary, "TaxYr", f"{year}")
    _leaf(ET.SubElement(summary, "EmployerInformationGrp"), "EmployerEIN", employer.tax_id)
    _leaf(summary, "Form1095CAttachedCnt", f"{len(slips)}")
    for place, slip in enumerate(slips, start=1):
        detail = ET.SubElement(root, "Form1095CUpstreamDetail")
        _leaf(detail, "RecordId", f"{place}")
        _leaf(detail, "TaxYr", f"{year}")
        given, _, surname = slip.name.partition(" ")
        person = ET.SubElement(detail, "EmployeeInfoGrp")
        _leaf(person, "PersonFirstNm", given)
        _leaf(person, "PersonLastNm", surname)
        _leaf(person, "SSN", slip.tax_id)
        offer = ET.SubElement(detail, "EmployeeOfferAndCoverageGrp")
        _leaf(ET.SubElement(offer, "MonthlyOfferCoverageGrp"), "AnnualOfferOfCoverageCd", "1A")
    return _xml(root)


def _fields(width: int, fields: dict[int, str]) -> str:
    """Lay texts out in a record of spaces; keys are the specification's positions, from 1."""
    record = [" "] * width
    for position, text in fields.items():
        start = position - 1
        if start + len(text) > width:
            raise ValueError(f"a field at {position} leaves the record")
        record[start : start + len(text)] = text
    return "".join(record)


def _lines(records: Sequence[str]) -> bytes:
    return "".join(record + "\r\n" for record in records).encode("ascii")


def _xml(root: ET.Element) -> bytes:
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode").encode()


def _leaf(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text


def _decimal(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


_WRITERS = {"W-2": (_w2, "txt"), "1099-NEC": (_1099_nec, "txt"), "T4": (_t4, "xml"), "1095-C": (_1095_c, "xml")}
