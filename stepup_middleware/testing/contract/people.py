"""The people that the library has met: found, listed and paged."""

from __future__ import annotations

from dataclasses import replace

from stepup_middleware.core.factors import FactorRequirement
from stepup_middleware.core.recovery import PeopleFilter, Person
from stepup_middleware.core.subject import Subject
from stepup_middleware.stores.base import HotState

from .values import Opener, enrol, passkey, totp


class PeopleContract:
    """The people that the library has met."""

    async def test_people_are_found_by_any_part_of_their_names_and_listed_by_name(
        self, store: HotState, open_node: Opener
    ) -> None:
        known = [
            Person(subject_id="u-3", name="Émile Roux", login="emile@axis.example"),
            Person(subject_id="u-1", name="Ada Owner", login="ada@axis.example"),
            Person(subject_id="u-2", name="ADA Zwei", login="100%_sure!@axis.example"),
            Person(subject_id="u-4"),
            Person(
                subject_id="u-5", name="z I\u0307pek Nun\u0303ez \uff37", login="\u1112\u1161\u11ab"
            ),  # decomposed, wide
        ]
        for person in known:
            await store.records.note_person("w-1", person)
        await store.records.note_person("w-2", Person(subject_id="u-1", name="Ada of another workspace"))
        async with open_node() as other:
            found: dict[str, list[str]] = {}
            for text in (
                "",
                "ADA",
                "émile",
                "ÉMILE",
                "emile",
                "ipek nuñez w",
                "İPEK",
                "\ud55c",
                "axis.example",
                "100%_",
                "%",
                "_",
                "!",
                "u-4",
                "nobody",
            ):
                page = await other.records.people("w-1", PeopleFilter(text=text), limit=10)
                assert page.next is None
                assert await other.records.count_people("w-1", PeopleFilter(text=text)) == len(page.people)
                found[text] = [person.subject_id for person in page.people]
        by_name = ["u-1", "u-2", "u-4", "u-5", "u-3"]
        assert found == {
            "": by_name,
            "ADA": ["u-1", "u-2"],
            "émile": ["u-3"],
            "ÉMILE": ["u-3"],
            "emile": ["u-3"],
            "ipek nuñez w": ["u-5"],
            "İPEK": ["u-5"],
            "\ud55c": ["u-5"],
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
        for nowhere in ("[" * 60_000, '["a', "[1, 2]", '{"a": 1}'):  # a place that is none is the beginning
            page = await store.records.people("w-1", PeopleFilter(), after=nowhere, limit=10)
            assert len(page.people) == len(known)

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
