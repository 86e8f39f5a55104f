"""A crowd that asks, proves and redeems while a server is killed again and again, and the judge of what ran."""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import replace

from stepup_middleware.core.decisions import Presentation, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.base import Store

from .servers import Server
from .support import all_records, ask, assert_chains_hold, enrol, grant_for, passkey, shown_for

CROWD = 8
KILLS = int(os.environ.get("STEPUP_KILLS", "6"))  # of a server, in each test


class Crowd:
    """People who try again when the store cannot be used, and note what ran."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._over = False
        self.tries = 0
        self.ran: list[Presentation] = []
        self.shown: list[Presentation] = []

    async def _person(self) -> None:
        """Ask, prove and present each token three times, until it is over."""
        store = self._store
        factor = await enrol(store, factor=passkey(sign_count=0))
        while not self._over:
            try:
                prompt = await ask(store)
                reference = await store.issue_token(grant_for(prompt, factor, sign_count=0))
            except StoreError:
                await asyncio.sleep(0.001)  # a client that tries again
                continue
            if not isinstance(reference, TokenReference):
                continue  # a loss ended the epoch while the prompt was open: that costs one more
            shown = shown_for(prompt, reference)
            self.shown.append(shown)
            for _ in range(3):
                self.tries += 1
                try:
                    answer = await store.redeem(replace(shown, attempt=random.randbytes(16)))  # noqa: S311 - a name
                except StoreError:
                    continue
                if answer.decision.verdict is Verdict.REDEEMED:
                    self.ran.append(shown)

    async def under_fire(self, server: Server, kills: int, seed: int) -> None:
        """Work while the server is killed at random moments and started again."""
        order = random.Random(seed)  # noqa: S311 - a moment, no secret
        people = [asyncio.create_task(self._person()) for _ in range(CROWD)]
        for _ in range(kills):
            enough = self.tries + order.randrange(3, 60)
            while self.tries < enough:
                await asyncio.sleep(0)
                assert not any(person.done() for person in people)
            await asyncio.to_thread(server.kill)
            await server.start()
        self._over = True
        await asyncio.gather(*people)

    async def assert_each_ran_once(self) -> None:
        """Fail unless nothing ran twice or without a record, and nothing that ran can run again."""
        ran = [shown.reference for shown in self.ran]
        assert ran
        assert len(ran) == len(set(ran))
        records = await all_records(self._store)
        names = [record.event for record in records]
        authorized = [record.prompt_id for record in records if record.event is EventName.ACTION_AUTHORIZED]
        assert len(authorized) == len(set(authorized))
        assert len(ran) <= len(authorized) <= names.count(EventName.VERIFIED)
        await assert_chains_hold(self._store)
        for shown in self.ran:
            answer = await self._store.redeem(replace(shown, attempt=random.randbytes(16)))  # noqa: S311 - a name
            assert answer.row is None or answer.row.prompt_id in set(authorized)
            assert answer.decision.verdict is not Verdict.REDEEMED
