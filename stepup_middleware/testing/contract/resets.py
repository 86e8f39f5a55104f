"""Holds, resets, and the people that the library has met."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from stepup_middleware.core.decisions import Flag, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import EnrolmentBasis, FactorKind, FactorRequirement
from stepup_middleware.core.grants import GrantRefused
from stepup_middleware.core.prompts import NoFactor, Prompt, PromptState
from stepup_middleware.core.recovery import (
    PeopleFilter,
    Person,
)
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.base import HotState

from .recovery_values import (
    HOUR,
    ISSUED,
    ME,
    RESET,
    STRONG,
    USED,
    a_hold,
    a_pass,
    a_request,
    a_reset,
    a_right,
    begun_by,
    codes_for,
    put,
)
from .values import (
    COSIGNER,
    MICROSECOND,
    MINUTE,
    NOW,
    OWNER,
    ROTATE,
    Opener,
    ask,
    asked,
    assert_records_hold,
    enrol,
    event,
    grant_for,
    hold,
    names_of,
    passkey,
    shown_for,
    totp,
)


class ResetContract:
    """Holds, resets, and the people that the library has met."""

    # holds

    async def test_a_hold_closes_strong_purposes_until_it_is_over_and_no_other_ones(self, store: HotState) -> None:
        await enrol(store)
        assert await store.reset_factors(a_reset(), [RESET], now=NOW)
        await enrol(store)
        answer = await store.ask(asked(purpose=STRONG), open_limit=9)
        assert isinstance(answer, NoFactor)
        assert answer.held_until == NOW + 24 * HOUR
        assert isinstance(await store.ask(asked(purpose=ROTATE), open_limit=9), Prompt)
        for now, held in ((NOW + 24 * HOUR - MICROSECOND, True), (NOW + 24 * HOUR, False)):
            answer = await store.ask(asked(purpose=STRONG, now=now), open_limit=99)
            assert isinstance(answer, NoFactor if held else Prompt)
            assert (await store.records.hold_of(*ME, now=now) is not None) is held
        assert isinstance(await store.ask(asked(COSIGNER, STRONG), open_limit=9), NoFactor)

    async def test_a_hold_is_never_shortened_by_a_later_one(self, store: HotState) -> None:
        await store.reset_factors(a_reset(hold=a_hold(until=48 * HOUR)), [RESET], now=NOW)
        await store.reset_factors(a_reset(hold=a_hold(until=HOUR)), [RESET], now=NOW)
        await store.reset_factors(a_reset(hold=None), [RESET], now=NOW)
        assert await store.records.hold_of(*ME, now=NOW) == a_hold(until=48 * HOUR)
        await store.reset_factors(a_reset(hold=a_hold(until=72 * HOUR)), [RESET], now=NOW)
        assert await store.records.hold_of(*ME, now=NOW) == a_hold(until=72 * HOUR)

    async def test_a_token_from_before_a_hold_authorizes_no_strong_purpose_under_it(self, store: HotState) -> None:
        held, light = await hold(store, purpose=STRONG), await hold(store, purpose=ROTATE)
        codes = await put(store, codes_for())
        right = a_right(basis=EnrolmentBasis.RECOVERY)
        await store.records.use_recovery_code(codes.id, 0, right=right, hold=a_hold(), bucket="recovery", event=USED)
        answer = await store.redeem(held.shown(minimum=FactorRequirement.PHISHING_RESISTANT))
        assert answer.decision.verdict is Verdict.FACTOR_INSUFFICIENT
        assert answer.decision.flags == (Flag.ON_HOLD,)
        again = await store.redeem(held.shown(minimum=FactorRequirement.ANY))
        assert again.decision.verdict is Verdict.REQUIRED  # it was revoked
        assert (await store.redeem(light.shown())).decision.verdict is Verdict.REDEEMED

    # resets

    async def test_a_reset_takes_everything_that_proves_and_ends_what_is_open(
        self, store: HotState, open_node: Opener
    ) -> None:
        key = await enrol(store)
        await enrol(store, factor=totp())
        bystander = await hold(store, COSIGNER)
        codes = await put(store, codes_for())
        token = await store.issue_token(grant_for(await ask(store), key))
        assert isinstance(token, TokenReference)
        waiting = await ask(store)
        begun = begun_by(EnrolmentBasis.STEP_UP)
        await store.records.begin_enrolment(begun, now=NOW)
        await store.records.request_reset(a_request(), event=event(EventName.FACTORS_RESET_REQUESTED))
        new = a_pass()
        async with open_node() as other:
            assert await other.reset_factors(a_reset(new_pass=new), [RESET, ISSUED], now=NOW)
        assert await store.records.list_factors(*ME) == ()
        assert await store.records.recovery_codes(*ME) is None
        assert await store.records.open_pass(*ME) == new
        assert await store.records.reset_requests(OWNER.workspace_id, now=NOW) == ()
        assert await store.records.hold_of(*ME, now=NOW) == a_hold()
        kept = await store.get_prompt(waiting.id, now=NOW)
        assert kept is None or kept.state is PromptState.CANCELLED
        assert isinstance(await store.issue_token(grant_for(waiting, key, expected_sign_count=6)), GrantRefused)
        key_of_enrolment = (*ME, OWNER.session, FactorKind.PASSKEY)
        assert await store.records.pop_enrolment(*key_of_enrolment, id=None, now=NOW) is None
        assert not await store.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=begun)
        assert not await store.records.use_recovery_code(
            codes.id, 0, right=a_right(), hold=None, bucket="recovery", event=USED
        )
        assert (await names_of(store))[-2:] == [EventName.FACTORS_RESET, EventName.ENROLMENT_PASS_ISSUED]
        assert (await store.redeem(bystander.shown())).decision.verdict is Verdict.REDEEMED
        await assert_records_hold(store)

    async def test_a_token_of_before_a_reset_authorizes_nothing(self, store: HotState) -> None:
        held = await hold(store, purpose=ROTATE)
        await store.reset_factors(a_reset(hold=None), [RESET], now=NOW)
        again = replace(held.factor, id="another")
        await enrol(store, factor=again)
        answer = await store.redeem(held.shown())
        assert answer.decision.verdict in (Verdict.REQUIRED, Verdict.FACTOR_INSUFFICIENT)

    async def test_a_reset_while_the_person_proves_leaves_them_no_token(
        self, store: HotState, open_node: Opener
    ) -> None:
        for _ in range(5):
            key = await enrol(store)
            prompt = await ask(store, purpose=ROTATE)
            async with open_node() as other:
                granted, _ = await asyncio.gather(
                    store.issue_token(grant_for(prompt, key)),
                    other.reset_factors(a_reset(hold=None), [RESET], now=NOW),
                )
            if isinstance(granted, TokenReference):
                answer = await store.redeem(shown_for(prompt, granted))
                assert answer.decision.verdict in (Verdict.REQUIRED, Verdict.FACTOR_INSUFFICIENT)

    async def test_a_reset_while_a_factor_is_added_leaves_none_of_before(
        self, store: HotState, open_node: Opener
    ) -> None:
        for basis in (EnrolmentBasis.STEP_UP, EnrolmentBasis.STEP_UP, EnrolmentBasis.STEP_UP):
            await enrol(store)
            begun = begun_by(basis)
            async with open_node() as other:
                await asyncio.gather(
                    store.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=begun),
                    other.reset_factors(a_reset(hold=None), [RESET], now=NOW),
                )
            assert await store.records.list_factors(*ME) == ()

    # two admins

    async def test_a_reset_waits_for_another_admin_until_it_is_over(self, store: HotState, open_node: Opener) -> None:
        requested = event(EventName.FACTORS_RESET_REQUESTED)
        first = a_request(COSIGNER, requested_at=NOW - MINUTE)
        await store.records.request_reset(a_request(), event=requested)
        second = a_request()
        await store.records.request_reset(second, event=requested)
        await store.records.request_reset(first, event=requested)
        async with open_node() as other:
            assert await other.records.reset_requests(OWNER.workspace_id, now=NOW) == (first, second)
            assert await other.records.reset_requests("w-2", now=NOW) == ()
        assert await store.records.reset_requests(OWNER.workspace_id, now=NOW + 24 * HOUR) == ()
        refused = await store.reset_factors(a_reset(request=second), [RESET], now=NOW + 24 * HOUR)
        assert not refused
        assert await store.records.drop_reset_request(first, event=event())
        assert not await store.records.drop_reset_request(first, event=event())

    async def test_of_two_admins_who_confirm_at_once_one_resets(self, store: HotState, open_node: Opener) -> None:
        key = await enrol(store)
        request = a_request()
        await store.records.request_reset(request, event=event(EventName.FACTORS_RESET_REQUESTED))
        assert not await store.reset_factors(a_reset(request=replace(request, reason="another")), [RESET], now=NOW)
        assert await store.records.list_factors(*ME) == (key,)
        async with open_node() as other:
            done = await asyncio.gather(
                *(node.reset_factors(a_reset(request=request), [RESET], now=NOW) for node in (store, other) * 3)
            )
        assert done.count(True) == 1
        assert (await names_of(store)).count(EventName.FACTORS_RESET) == 1

    # people

    async def test_people_are_found_by_any_part_of_their_names_and_listed_by_name(
        self, store: HotState, open_node: Opener
    ) -> None:
        known = [
            Person(subject_id="u-3", name="Émile Roux", login="emile@axis.example"),
            Person(subject_id="u-1", name="Ada Owner", login="ada@axis.example"),
            Person(subject_id="u-2", name="ADA Zwei", login="100%_sure!@axis.example"),
            Person(subject_id="u-4"),
        ]
        for person in known:
            await store.records.note_person("w-1", person)
        await store.records.note_person("w-2", Person(subject_id="u-1", name="Ada of another workspace"))
        async with open_node() as other:
            found: dict[str, list[str]] = {}
            for text in ("", "ADA", "émile", "ÉMILE", "axis.example", "100%_", "%", "_", "!", "u-4", "nobody"):
                page = await other.records.people("w-1", PeopleFilter(text=text), limit=10)
                assert page.next is None
                assert await other.records.count_people("w-1", PeopleFilter(text=text)) == len(page.people)
                found[text] = [person.subject_id for person in page.people]
        by_name = ["u-1", "u-2", "u-4", "u-3"]
        assert found == {
            "": by_name,
            "ADA": ["u-1", "u-2"],
            "émile": ["u-3"],
            "ÉMILE": ["u-3"],
            "axis.example": ["u-1", "u-2", "u-3"],
            "100%_": ["u-2"],
            "%": ["u-2"],
            "_": ["u-2"],
            "!": ["u-2"],
            "u-4": ["u-4"],
            "nobody": [],
        }
        await store.records.note_person("w-1", replace(known[1], name="Zoe Owner"))
        assert await store.records.get_person("w-1", "u-1") == replace(known[1], name="Zoe Owner")
        assert await store.records.get_person("w-1", "u-9") is None
        assert (await store.records.people("w-1", PeopleFilter(), limit=10)).people[-2].name == "Zoe Owner"

    async def test_people_come_page_by_page_each_once_also_those_of_one_name(self, store: HotState) -> None:
        for number in range(25):
            await store.records.note_person("w-1", Person(subject_id=f"u-{number:02}", name=f"Name {number // 9}"))
        seen: list[str] = []
        after: str | None = None
        while True:
            page = await store.records.people("w-1", PeopleFilter(), after=after, limit=10)
            seen += [person.subject_id for person in page.people]
            after = page.next
            if after is None:
                break
        assert seen == [f"u-{number:02}" for number in range(25)]

    async def test_people_are_listed_by_what_their_factors_lack(self, store: HotState) -> None:
        people = [Subject(id=f"u-{number}", session_id="s", workspace_id="w-1", name="") for number in range(3)]
        for subject in people:
            await store.records.note_person("w-1", Person(subject_id=subject.id))
        await enrol(store, people[0], totp())
        await enrol(store, people[1], passkey())

        async def listed(wanted: PeopleFilter) -> list[str]:
            page = await store.records.people("w-1", wanted, limit=10)
            assert await store.records.count_people("w-1", wanted) == len(page.people)
            return [person.subject_id for person in page.people]

        strong, any_factor = FactorRequirement.PHISHING_RESISTANT, FactorRequirement.ANY
        assert await listed(PeopleFilter(lacking=strong)) == ["u-0", "u-2"]
        assert await listed(PeopleFilter(lacking=any_factor)) == ["u-2"]
        assert await listed(PeopleFilter(lacking=strong, enrolled=True)) == ["u-0"]
        assert await listed(PeopleFilter(enrolled=True)) == ["u-0", "u-1"]
        assert await listed(PeopleFilter(enrolled=False)) == ["u-2"]
