"""Year-end files, read back from the positions and elements of their specifications."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from demo_app.areas.year_end import EMPLOYER, finalize_form
from demo_app.axis import Actor, Conflict
from demo_app.db import Database
from demo_app.tax_files import Slip, tax_file

SLIPS = [
    Slip(number=1, name="Employee 0001", tax_id="900000001", paid_cents=6_000_000, tax_cents=1_020_000),
    Slip(number=2, name="Employee 0002", tax_id="900000002", paid_cents=5_000_050, tax_cents=850_008),
]


def records(form: str, width: int) -> list[str]:
    _, content = tax_file(form, EMPLOYER, 2026, SLIPS)
    lines = content.decode("ascii").split("\r\n")
    assert lines.pop() == ""
    assert {len(line) for line in lines} == {width}
    return lines


def test_a_w2_file_is_efw2_and_its_totals_are_the_sums_of_its_slips() -> None:
    submitter, employer, *wages, total, final = records("W-2", 512)
    assert [line[:2] for line in (submitter, employer, *wages, total, final)] == ["RA", "RE", "RW", "RW", "RT", "RF"]
    assert employer[2:6] == "2026"
    assert employer[7:16] == EMPLOYER.tax_id
    assert [line[2:11] for line in wages] == ["900000001", "900000002"]
    assert [int(line[187:198]) for line in wages] == [6_000_000, 5_000_050]
    assert int(total[2:9]) == 2
    for box in range(6):  # boxes 1 to 6
        slips = sum(int(line[187 + 11 * box : 198 + 11 * box]) for line in wages)
        assert int(total[9 + 15 * box : 24 + 15 * box]) == slips > 0
    assert int(final[7:16]) == 2


def test_a_1099_nec_file_follows_publication_1220() -> None:
    transmitter, payer, *payees, end, final = records("1099-NEC", 748)
    assert "".join(line[0] for line in (transmitter, payer, *payees, end, final)) == "TABBCF"
    assert [int(line[499:507]) for line in (transmitter, payer, *payees, end, final)] == [1, 2, 3, 4, 5, 6]
    assert payer[25:27] == "NE"
    assert [int(line[54:66]) for line in payees] == [6_000_000, 5_000_050]
    assert int(end[1:9]) == 2
    assert int(end[15:33]) == 11_000_050
    assert int(final[1:9]) == 1


def test_a_t4_return_has_a_slip_for_everyone_and_a_summary_that_adds_up() -> None:
    name, content = tax_file("T4", EMPLOYER, 2026, SLIPS)
    t4 = ET.fromstring(content).find("Return/T4")  # noqa: S314 - the test's own file
    assert name == "t4-2026.xml"
    assert t4 is not None
    amounts = [slip.findtext("T4_AMT/empt_incamt", "") for slip in t4.findall("T4Slip")]
    assert amounts == ["60000.00", "50000.50"]
    assert t4.findtext("T4Summary/slp_cnt") == "2"
    assert t4.findtext("T4Summary/T4_TAMT/tot_empt_incamt") == "110000.50"
    assert t4.findtext("T4Summary/T4_TAMT/tot_itx_ddct_amt") == "18700.08"


def test_a_1095_c_transmittal_counts_the_forms_that_it_carries() -> None:
    _, content = tax_file("1095-C", EMPLOYER, 2026, SLIPS)
    root = ET.fromstring(content)  # noqa: S314 - the test's own file
    space = {"air": "urn:us:gov:treasury:irs:ext:aca:air:ty26"}
    forms = root.findall("air:Form1095CUpstreamDetail", space)
    assert len(forms) == 2
    assert root.findtext("air:Form1094CUpstreamDetail/air:Form1095CAttachedCnt", None, space) == "2"
    assert forms[1].findtext("air:EmployeeInfoGrp/air:SSN", None, space) == "900000002"


@pytest.mark.parametrize("form", ["W-2", "1099-NEC", "T4", "1095-C"])
async def test_a_final_form_keeps_its_file_and_cannot_be_finalized_again(
    form: str, database: Database, acting: Callable[[str], Actor]
) -> None:
    form_id = f"{form}-2026".lower()
    await finalize_form(database, form_id, acting("owner"))
    first = await database.one("SELECT file, file_sha256 FROM year_end_form WHERE id = ?", form_id)
    with pytest.raises(Conflict, match="final already"):
        await finalize_form(database, form_id, acting("cosigner"))
    again = await database.one("SELECT file, finalized_by FROM year_end_form WHERE id = ?", form_id)
    assert first is not None
    assert again is not None
    assert hashlib.sha256(first["file"]).hexdigest() == first["file_sha256"]
    assert (again["file"], again["finalized_by"]) == (first["file"], "owner")
