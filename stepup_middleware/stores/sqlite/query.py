"""Querying the audit log in its order: what is asked for, and nothing else, is looked at.

An index has the facets of a record: workspace, person, purpose, event and outcome. Few combinations of them occur,
and the records of one combination lie in the index one after another, in the order of the log. A filter is a choice
of combinations: they are found by a skip scan, from one to the next along the index, and their records are merged up
to the limit. How long the log is, and how rare what is asked for, makes no difference.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.moments import to_micros
from stepup_middleware.stores.sql.transaction import Value

# in the order of rows.record_of
RECORD = "r.seq, r.body, r.id, r.entry, r.mac, r.refused, l.log, l.idx"
_FACETS = ("subject", "purpose", "event", "outcome")  # in the order of the columns of the indexes
_MAX_SEQ = 2**63 - 1
# `high` grows with seq, so that all records from here on, and none before, have a `high` of at least the moment.
_FIRST_SINCE = "(SELECT h.seq FROM audit AS h WHERE h.high >= {} ORDER BY h.high, h.seq LIMIT 1)"


def statement(
    workspace: str | None, wanted: AuditFilter, *, first: int | None, end: int | None, newest_first: bool, limit: int
) -> tuple[str, Mapping[str, Value]]:
    """Return the statement of a query, of records with ``first <= seq < end``, and its parameters."""
    given = {} if workspace is None else {"workspace": workspace}
    given |= {field: str(value) for field in _FACETS if (value := getattr(wanted, field)) is not None}
    scan = ""
    if wanted.prompt is not None:  # few records: each is looked at
        index = "audit_prompt" if wanted.prompt else "audit_unprompted"
        source = f"audit AS a INDEXED BY {index}"
        conditions = [f"a.{column} = :{column}" for column in given]
        # to the letter: a partial index serves only whoever says so
        conditions.append("a.prompt = :prompt AND a.prompt <> ''" if wanted.prompt else "a.prompt = ''")
    elif given.keys() <= {"workspace"}:
        source = "audit AS a" + (" INDEXED BY audit_workspace" if given else "")
        conditions = [f"a.{column} = :{column}" for column in given]
    else:
        by_person = "subject" in given
        index = "audit_subject" if by_person else "audit_purpose"
        columns = ["workspace", *(_FACETS if by_person else _FACETS[1:])]
        scan = f"WITH RECURSIVE {', '.join(_skip_scan(columns, given, index))}"
        source = f"of_{columns[-1]} AS k CROSS JOIN audit AS a INDEXED BY {index}"
        conditions = [f"a.{column} = k.{column}" for column in columns]
    conditions += _span(wanted, first, end)
    order = "DESC" if newest_first else "ASC"
    # every part of the text is a constant of this module; what callers give is bound
    text = (
        f"{scan} SELECT {RECORD} FROM audit AS r LEFT JOIN leaves AS l ON l.record_id = r.id WHERE r.seq IN ("  # noqa: S608
        f"SELECT a.seq FROM {source} WHERE {' AND '.join(conditions) or '1'} ORDER BY a.seq {order} LIMIT :limit"
        f") ORDER BY r.seq {order}"
    )
    moments = {name: to_micros(at) for name in ("since", "until") if (at := getattr(wanted, name)) is not None}
    return text, {**given, **moments, "prompt": wanted.prompt, "first": first, "end": end, "limit": limit}


def _skip_scan(columns: Sequence[str], given: Collection[str], index: str) -> Iterator[str]:
    """Yield a table for each column of an index, of the combinations that begin with it.

    They are called ``of_workspace`` to ``of_outcome``.

    A column that is not given is skipped along, from each value that is there to the next, and ends with NULL,
    which equals nothing.
    """
    source, carried, same = "(SELECT 1)", "", "1"
    for place, column in enumerate(columns):
        table = f"of_{column}"
        head = f"{table} ({', '.join(columns[: place + 1])})"
        if column in given:
            yield f"{head} AS (SELECT {carried}:{column} FROM {source} AS k)"  # noqa: S608
        else:
            least = f"(SELECT min(a.{column}) FROM audit AS a INDEXED BY {index} WHERE {same}"  # noqa: S608
            yield (
                f"{head} AS (SELECT {carried}{least}) FROM {source} AS k UNION ALL "  # noqa: S608
                f"SELECT {carried}{least} AND a.{column} > k.{column}) FROM {table} AS k WHERE k.{column} IS NOT NULL)"
            )
        source, carried, same = table, f"{carried}k.{column}, ", f"{same} AND a.{column} = k.{column}"


def _span(wanted: AuditFilter, first: int | None, end: int | None) -> Iterator[str]:
    """Yield the conditions on sequence number and time.

    Times do not always grow with the sequence number, but they never lie further back than the database has noted.
    """
    lower = [] if first is None else [":first"]
    upper = [] if end is None else [":end"]
    if wanted.since is not None:
        yield "a.at >= :since"
        lower.append(_FIRST_SINCE.format(":since"))
    if wanted.until is not None:
        yield "a.at < :until"
        beyond = _FIRST_SINCE.format(":until + (SELECT m.back FROM meta AS m)")
        upper.append(f"coalesce({beyond}, {_MAX_SEQ})")
    if lower:
        yield f"a.seq >= {_one('max', lower)}"
    if upper:
        yield f"a.seq < {_one('min', upper)}"


def _one(function: str, bounds: list[str]) -> str:
    """Make one bound of several: the database walks from one, and cannot tell which of two is the nearer."""
    return bounds[0] if len(bounds) == 1 else f"{function}({', '.join(bounds)})"
