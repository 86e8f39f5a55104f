"""What an app makes of rows that somebody else altered, added, took away or gave to another person, while it runs.

An alteration is *found* where the app tells of it, *harmless* where nothing that the app answers is another than
before, and *granted* where the threat model says so. Nothing that the altered row says may ever count.
"""

from __future__ import annotations

import random
import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import Any

from stepup_middleware.core.approvals import Approval
from stepup_middleware.core.decisions import Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import EnrolmentBasis, Factor, FactorKind, TOTPFactor, WebAuthnFactor
from stepup_middleware.core.policy import OTHERS
from stepup_middleware.core.prompts import Prompt
from stepup_middleware.core.recovery import Person
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.sealing import Tampered
from stepup_middleware.stores.sql.store import SQLStore
from stepup_middleware.testing.contract.approval_values import NO, approving, ask_approval, match
from stepup_middleware.testing.contract.recovery_values import (
    DIGEST,
    ISSUED,
    TAKEN,
    a_hold,
    a_pass,
    a_request,
    a_right,
    codes_for,
)
from stepup_middleware.testing.contract.values import (
    COSIGNER,
    MACS,
    NOW,
    OWNER,
    ask,
    enrolment,
    event,
    grant_for,
    passkey,
    shown_for,
)

from .alterations import other_values
from .attacked import Tally
from .grants import GONE
from .raw import Raw, Row
from .tables import SEALED

PEOPLE = (OWNER, COSIGNER)
NEW = tuple(replace(OWNER, id=id_, session_id=f"s-{id_}") for id_ in ("u-new", "u-newer"))  # without factors
FREE = replace(OWNER, id="u-free", session_id="s-free")  # whom no hold is on
ASKED = tuple(replace(OWNER, id=f"u-asked-{number}", session_id=f"s-asked-{number}") for number in range(2))
KEYS: Mapping[str, tuple[str, ...]] = {
    "people": ("subject",), "factors": ("id", "credential_id"), "policies": ("workspace",), "prompts": ("id", "number"),
    "tokens": ("id",), "enrolments": ("id", "session"), "mac_keys": ("id",), "approvals": ("prompt",),
}  # fmt: skip
Observed = dict[tuple[str, ...], Any]


@dataclass
class World:
    """An app that runs, with one row at least in each table, and what it was told of altered ones."""

    store: SQLStore
    told: list[Tampered]
    factors: Mapping[str, WebAuthnFactor | TOTPFactor]
    prompt: Prompt
    enrolments: Mapping[str, str]
    approvals: Sequence[Approval]
    honest: Mapping[str, Sequence[Row]]


async def build(raw: Raw, store: SQLStore) -> World:
    """Fill the tables of a started store."""
    told: list[Tampered] = []
    records = store.records
    records.on_tampering(told.append)
    factors: dict[str, WebAuthnFactor | TOTPFactor] = {}
    enrolments = {}
    for subject in PEOPLE:
        me = (subject.workspace_id, subject.id)
        factors[subject.id] = await add(store, subject, passkey(user_handle=secrets.token_bytes(64)))
        await add(store, subject, passkey(backup_eligible=False, kind=FactorKind.HARDWARE_KEY, sign_count=0))
        pending = enrolment(subject, encrypted_secret=secrets.token_bytes(40), begun_at=NOW + timedelta(hours=1))
        pending = replace(pending, expires_at=NOW + timedelta(hours=3))
        await records.begin_enrolment(pending, now=NOW)
        enrolments[subject.id] = pending.id
        await records.user_handle(*me, fresh=secrets.token_bytes(64))
        assert await records.put_recovery_codes(codes_for(subject), event=event(EventName.RECOVERY_CODES_ISSUED))
        await records.note_person(subject.workspace_id, Person(subject_id=subject.id, name="N", login="l"))
    for subject in NEW:
        assert await records.issue_pass(a_pass(subject), event=ISSUED)
    assert await records.take_pass(DIGEST, right=a_right(NEW[1]), event=TAKEN, now=NOW) is None
    changes = [("payroll_ach_transmit", "phishing_resistant"), ("webhook_secret_rotation", "any")]
    await records.set_policy(OWNER.workspace_id, changes[:1], [event()], now=NOW)
    await records.set_policy(OWNER.workspace_id, changes[1:], [event()], now=NOW)
    await records.set_policy("w-2", changes, [event(workspace_id="w-2")], now=NOW)
    await records.check_mac_keys()
    prompt = await ask(store, OWNER)
    approvals = [approval for subject in ASKED for approval in await ask_approvals(store, subject)]
    # a hold closes what is asked, so it comes last
    for subject in PEOPLE:
        await hold_person(store, subject)
    return World(
        store, told, factors, prompt, enrolments, approvals, {table: await raw.rows(table) for table in SEALED}
    )


async def add(store: SQLStore, subject: Subject, factor: Any) -> Any:
    """Enrol a factor as the app does: the log names it."""
    named = event(
        EventName.FACTOR_ENROLLED, workspace_id=subject.workspace_id, subject_id=subject.id, factor_id=factor.id
    )
    assert await store.records.add_webauthn_factor(subject.workspace_id, subject.id, factor, event=named)
    return factor


async def ask_approvals(store: SQLStore, subject: Subject) -> list[Approval]:
    """Ask a person for approvals: one waits, one has its digits, one was denied, and one brought a token."""
    factor = await add(store, subject, passkey(sign_count=0))
    sessions = [replace(subject, session_id=f"{subject.session_id}-{number}") for number in range(4)]
    waits, matched, denied, brought = made = [await ask_approval(store, each) for each in sessions]
    for approval in (matched, brought):
        assert await match(store, approval) is not None
    assert await store.records.end_approval(denied.prompt.id, NO, event=None)
    proof = event(EventName.VERIFIED, prompt_id=brought.prompt.id, factor_id=factor.id)
    assert isinstance(await store.issue_token(approving(brought, factor, sign_count=0, event=proof)), TokenReference)
    assert len(await store.records.waiting_approvals(subject.workspace_id, subject.id, now=NOW)) == 2
    assert waits in await store.records.waiting_approvals(subject.workspace_id, subject.id, now=NOW)
    return made


async def hold_person(store: SQLStore, subject: Subject) -> None:
    """Put a hold on a person by a recovery code, and keep the right that it opened."""
    codes = await store.records.recovery_codes(subject.workspace_id, subject.id)
    assert codes is not None
    used = event(EventName.RECOVERY_CODE_USED, workspace_id=subject.workspace_id, subject_id=subject.id)
    assert await store.records.use_recovery_code(
        codes.id,
        3,
        right=a_right(subject, EnrolmentBasis.RECOVERY),
        hold=a_hold(subject),
        bucket="recovery",
        event=used,
    )
    await store.records.request_reset(a_request(subject), event=event(EventName.FACTORS_RESET_REQUESTED))


async def observe(world: World) -> Observed:
    """Return everything that the app answers from the rows, by what was asked."""
    store = world.store
    records, seen = store.records, Observed()
    for subject in (*PEOPLE, *NEW):
        me = (subject.workspace_id, subject.id)
        for factor in await records.list_factors(*me):
            seen["factor", *me, factor.id] = decisive(factor)
        seen["handle", *me] = await records.user_handle(*me, fresh=bytes(64)) if subject in PEOPLE else None
        seen["enrolment", *me] = await records.get_enrolment(
            *me, subject.session, FactorKind.TOTP, id=world.enrolments.get(subject.id, ""), now=NOW + timedelta(hours=1)
        )
        seen["pass", *me] = await records.open_pass(*me)
        seen["right", *me] = await records.enrolment_right(*me)
        seen["codes", *me] = await records.recovery_codes(*me)
        seen["hold", *me] = await records.hold_of(*me, now=NOW)
        seen["person", *me] = await records.get_person(*me)
    for workspace in ("w-1", "w-2"):
        seen["policy", workspace] = await records.get_policy(workspace)
        for request in await records.reset_requests(workspace, now=NOW):
            seen["reset", request.id] = request
    for subject in (*ASKED, *PEOPLE):
        me = (subject.workspace_id, subject.id)
        for approval in await records.waiting_approvals(*me, now=NOW):
            seen["waiting", *me, approval.prompt.id] = approval
        for approval in await records.decided_approvals(*me, after=NOW - timedelta(hours=1)):
            seen["decided", *me, approval.prompt.id] = approval
    for asked in world.approvals:
        seen["approval", asked.prompt.id] = await records.get_approval(asked.prompt.id)
        for approval in await records.approvals_by_code(asked.code):
            seen["by code", asked.prompt.id, approval.prompt.id] = approval
    kept = await store.get_prompt(world.prompt.id, now=NOW)
    seen["prompt", world.prompt.id] = None if kept is None else kept.prompt
    return {name: value for name, value in seen.items() if value is not None}


def decisive(factor: Factor) -> Factor:
    """Return a factor without what decides nothing."""
    if isinstance(factor, TOTPFactor):
        return replace(factor, name="", last_used_at=None, last_step=0)
    return replace(factor, name="", last_used_at=None, backed_up=False, transports=())


def closed(name: tuple[str, ...], value: Any) -> bool:
    """Tell whether an answer is the closed one: what stands for a row that does not count."""
    match name[0]:
        case "policy":
            return OTHERS in value.values
        case "handle":
            return bool(value == bytes(64))
        case "person":
            return not (value.name or value.login)
    return False


def counted(before: Observed, after: Observed) -> list[Any]:
    """Return what counts now and did not before."""
    return [(name, value) for name, value in after.items() if before.get(name) != value and not closed(name, value)]


@dataclass(frozen=True)
class Change:
    kind: str
    table: str
    what: str
    rows: Sequence[Row]


def changes(honest: Mapping[str, Sequence[Row]], seed: int) -> Iterator[Change]:
    """Yield each column with other values, each row taken away, twice, another's, and with another's MAC."""
    chance = random.Random(seed)  # noqa: S311 - which values are tried, no secret
    for table, rows in honest.items():
        for number, row in enumerate(rows):
            rest = [*rows[:number], *rows[number + 1 :]]
            for column, value in row.items():
                for new in other_values(value, [each[column] for each in rows], chance):
                    new = bool(new) if isinstance(value, bool) else new
                    if new == value or (value is None and not isinstance(new, str)):
                        continue
                    named = f"{table}.{column} of row {number}: {value!r} to {new!r}"
                    yield Change("one column", table, named, [*rest, {**row, column: new}])
            yield Change("a row taken away", table, f"{table} row {number}", rest)
            keys = KEYS.get(table, ("subject",))
            for far in range(3):
                twin = {**row, **{key: unlike(row[key], far, chance) for key in keys if row[key] is not None}}
                yield Change("a row added", table, f"{table} row {number} again", [*rows, twin])
            for other in rest:
                yield Change("another row's MAC", table, f"{table} row {number}", [*rest, {**row, "mac": other["mac"]}])
                for column in row.keys() & {"subject", "workspace", "session"}:
                    moved = {**row, column: other[column]}
                    if moved != row:
                        yield Change("a row given to another", table, f"{table} row {number}", [*rest, moved])
                swapped = [each for each in rest if each is not other]
                first, second = {**row}, {**other}
                for column in row.keys() - {*keys, "subject", "workspace"}:
                    first[column], second[column] = other[column], row[column]
                yield Change("rows exchanged", table, f"{table} row {number}", [*swapped, first, second])
        if rows:
            yield Change("a table emptied", table, table, [])


def unlike(value: Any, by: int, chance: random.Random) -> Any:
    """Return another key."""
    if isinstance(value, int):
        return value + 1000 + by
    if isinstance(value, bytes):
        return chance.randbytes(len(value) or 8)
    return f"{value}{by}"


async def attack(raw: Raw, world: World, *, every_nth: int = 1, first: int = 0, seed: int = 1) -> dict[str, Tally]:
    """Try each nth change of what an app has, while it runs, and put it back. Those of tokens are tried apart."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    before = await observe(world)
    assert world.told == []
    honest = {table: rows for table, rows in world.honest.items() if table != "tokens"}
    for change in islice(changes(honest, seed), first, None, every_nth):
        world.told.clear()
        if not await raw.put(change.table, change.rows):
            continue  # the database itself has no place for it
        after = await observe(world)
        told = list(world.told)
        assert await raw.put(change.table, world.honest[change.table])
        tally = tallies[f"{change.table}: {change.kind}"]
        tally.tried += 1
        if counted(before, after):
            tally.undetected.append(f"{change.what}: counts")
        elif told:
            tally.found += 1
        elif after == before:
            tally.harmless += 1
        elif granted(before, after) is not None:
            tally.granted += 1
        else:
            tally.undetected.append(change.what)
    return tallies


def granted(before: Observed, after: Observed) -> str | None:
    """Return the sentence of the threat model that grants a change of which nobody was told."""
    if any(after.get(name, before[name]) != before[name] and not closed(name, after[name]) for name in before):
        return None
    return GONE


async def attack_tokens(raw: Raw, world: World, *, every_nth: int = 1, seed: int = 1) -> dict[str, Tally]:
    """Alter the row of a token that was issued, in each column, and present it. The hold is not on this person."""
    chance = random.Random(seed)  # noqa: S311 - which values are tried, no secret
    tally = Tally()
    store, factor = world.store, await add(world.store, FREE, passkey(sign_count=0))
    await ask_token(store, factor)
    columns = [*(await raw.rows("tokens"))[0]]
    for column in [each for each in columns for _ in range(6)][::every_nth]:
        prompt, reference = await ask_token(store, factor)
        rows = await raw.rows("tokens")
        (row,) = [each for each in rows if each["id"] == reference.id]
        for new in [*other_values(row[column], [each[column] for each in rows], chance)]:
            if new == row[column] or row[column] is None:
                continue
            world.told.clear()
            if not await raw.put("tokens", [*(each for each in rows if each is not row), {**row, column: new}]):
                continue
            answer = await store.redeem(shown_for(prompt, reference))
            tally.tried += 1
            if world.told:
                tally.found += 1
                if answer.decision.verdict is Verdict.REDEEMED:
                    tally.undetected.append(f"tokens.{column}: {row[column]!r} to {new!r} counts")
            elif answer.decision.verdict is not Verdict.REDEEMED:
                tally.granted += 1
            elif column in SEALED["tokens"]:
                tally.undetected.append(f"tokens.{column}: {row[column]!r} to {new!r}")
            else:
                tally.harmless += 1
            if column == "id":  # a number that is taken keeps the next one from being minted
                await raw.put("tokens", [])
            prompt, reference = await ask_token(store, factor)
            rows = await raw.rows("tokens")
            (row,) = [each for each in rows if each["id"] == reference.id]
    return {"tokens: one column": tally}


async def ask_token(store: SQLStore, factor: WebAuthnFactor) -> tuple[Prompt, TokenReference]:
    """Ask and prove: return the prompt and its token."""
    prompt = await ask(store, FREE)
    proof = event(EventName.VERIFIED, prompt_id=prompt.id, factor_id=factor.id)
    reference = await store.issue_token(grant_for(prompt, factor, sign_count=0, event=proof))
    assert isinstance(reference, TokenReference)
    return prompt, reference


async def sweep(raw: Raw, *, every_nth: int = 1, first: int = 0) -> dict[str, Tally]:
    """Try all of it on a database of its own."""
    async with raw.store().use(MACS) as store:
        world = await build(raw, store)
        tallies = await attack(raw, world, every_nth=every_nth, first=first)
        return tallies | await attack_tokens(raw, world, every_nth=every_nth)
