"""The tokens of a proof: the prompts are closed first, then the proof is spent, and the tokens come last."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from stepup_middleware.core.approvals import ApprovalState
from stepup_middleware.core.decisions import TokenState
from stepup_middleware.core.grants import GrantRefused, TokenGrant
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.prompts import (
    PROMPT_LIFETIME,
    PromptState,
)
from stepup_middleware.core.replays import NONE
from stepup_middleware.core.retention import PROMPTS_STAY
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.epoch_store import EpochStore
from stepup_middleware.stores.sealing import Tampered

from .codec import (
    EPOCH,
    collected_body,
    flat,
    milliseconds,
    prompt_key,
    session_keys,
    token_fields,
    token_holds,
    token_key,
    token_of,
)
from .server import RedisServer

_TIMES = 2
_LOOK_AGAIN_SECONDS = 0.01  # while another proof of the same prompt is judged
_OPEN, _PROVED = PromptState.OPEN.value, PromptState.PROVED.value


class Issuer:
    """Issues tokens on a server on behalf of a store, and has the proof spent in the records behind."""

    def __init__(self, server: RedisServer, behind: EpochStore, *, seconds: float, tokens_stay: timedelta) -> None:
        self._server = server
        self._behind = behind
        self._seconds = seconds
        self._tokens_stay = tokens_stay

    async def issue(self, grants: Sequence[TokenGrant]) -> Sequence[TokenReference | GrantRefused]:
        """Consume first: the prompts are closed, then the proof is spent in the records, and the tokens come last.

        A fault in between leaves no token, and prompts that serve no second ceremony. The token of an approval comes
        before: it can be collected only once the records name it, and whoever reads there that it was approved finds
        it.
        """
        references = [TokenReference(int.from_bytes(os.urandom(7), "big"), grant.nonce) for grant in grants]
        epochs = await asyncio.gather(*map(self._close_prompt, grants, references, [len(grants) == 1] * len(grants)))
        answers: list[TokenReference | GrantRefused] = [GrantRefused.PROMPT_CLOSED] * len(grants)
        epoch = max((each for each in epochs if each is not None), default=0)
        closed = [place for place, each in enumerate(epochs) if each == epoch]
        if not closed:
            return answers
        at, awaited = to_micros(grants[0].issued_at), grants[0].decider is not None

        def reopened(place: int) -> Any:
            return self._server.run_script("move", [prompt_key(grants[place].prompt.id)], EPOCH, at, _PROVED, _OPEN, "")

        if awaited and isinstance(await self._mint(grants[0], references[0], epoch), GrantRefused):
            return answers
        try:
            proved = await self._behind.prove_for_hot_store(
                [(grants[place], references[place]) for place in closed], epoch=epoch
            )
        except Exception:
            # the proof serves once at most, whether it was spent or not: the person may try with another
            with suppress(StoreError):
                if awaited:
                    await self._take_back(references[0])
                await asyncio.gather(*map(reopened, closed))
            raise
        refused = dict(zip(closed, proved, strict=True))
        if awaited and refused[0] is not None:
            await self._take_back(references[0])
        await asyncio.gather(*(reopened(place) for place in closed if refused[place] is not None))
        if awaited:
            return [references[0] if refused[0] is None else refused[0]]
        minted = await asyncio.gather(
            *(self._mint(grants[place], references[place], epoch) for place in closed if refused[place] is None)
        )
        tokens = iter(minted)
        for place, why in refused.items():
            answers[place] = next(tokens) if why is None else why
        return answers

    async def _take_back(self, reference: TokenReference) -> None:
        """Revoke the token of an approval that has not come about, or of which nobody knows whether it has."""
        await self._server.run_script("revoke", [token_key(reference)], "cancelled", "", "")

    async def _mint(self, grant: TokenGrant, reference: TokenReference, epoch: int) -> TokenReference | GrantRefused:
        """Write the token of a grant whose prompt is closed."""
        prompt, at = grant.prompt, to_micros(grant.issued_at)
        key, token = prompt_key(prompt.id), token_key(reference)
        opened, held, _ = session_keys(prompt.workspace_id, prompt.subject_id, prompt.session)
        life = milliseconds(grant.expires_at - grant.issued_at + self._tokens_stay)
        member = json.dumps([token, key])
        put, *_, state = await self._server.ask(
            self._server.script("write", [token], "", life, *flat(token_fields(grant, epoch, self._behind.row_macs))),
            ("ZREMRANGEBYSCORE", held, "-inf", at),
            ("ZADD", held, to_micros(grant.expires_at), member),
            ("PEXPIRE", held, milliseconds(PROMPTS_STAY)),
            ("ZADD", opened, to_micros(grant.expires_at), key),
            ("PEXPIRE", opened, max(life, milliseconds(PROMPT_LIFETIME + PROMPTS_STAY))),
            ("HGET", key, "state"),
        )
        if not put or state != _PROVED.encode():
            # cancelled or signed out meanwhile
            await self._server.run_script("revoke", [token], "cancelled", "", "")
            return GrantRefused.PROMPT_CLOSED
        return reference

    async def collect(self, reference: TokenReference, *, ttl: timedelta, now: datetime) -> datetime | None:
        key, at, macs = token_key(reference), to_micros(now), self._behind.row_macs
        for _ in range(_TIMES):  # somebody else may collect it meanwhile
            ((state, of, text),) = await self._server.ask(("HMGET", key, "state", "epoch", "body"))
            if text is None or (epoch := int(of)) != self._server.epoch:
                return None
            if not token_holds(macs, reference, epoch, text):
                self._behind.met([Tampered("tokens", str(reference.id), "", "")])
                return None
            token = token_of(reference, TokenState(state.decode()), text, None, None, NONE)
            if token.state is not TokenState.UNCOLLECTED:
                return token.expires_at if token.state is TokenState.ISSUED and now < token.expires_at else None
            end = now + ttl
            body = collected_body(macs, reference, epoch, text, (at, to_micros(end)))
            if await self._server.run_script("collect", [key], EPOCH, at, text, at, to_micros(end), body):
                opened, held, _ = session_keys(token.workspace_id, token.subject_id, token.session)
                prompt = prompt_key(token.prompt_id)
                places = ((opened, prompt), (held, json.dumps([key, prompt])))
                await self._server.ask(*(("ZADD", place, to_micros(end), member) for place, member in places))
                return end
        return None

    async def _close_prompt(self, grant: TokenGrant, reference: TokenReference, patient: bool) -> int | None:
        """Close a prompt in favour of a token; return the epoch, or None when it was closed before.

        While another proof of it is judged, wait, if ``patient``: if that one is refused, the prompt is open again. One
        proof of several prompts does not wait, for two of these could wait for each other.
        """
        key, token, at = prompt_key(grant.prompt.id), token_key(reference), to_micros(grant.issued_at)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        while True:
            moved, state, other, epoch = await self._server.run_script("move", [key], EPOCH, at, _OPEN, _PROVED, token)
            if moved:
                return int(epoch)
            if not patient or state != _PROVED.encode() or not other or loop.time() >= end:
                return None
            if grant.decider is not None:
                approval = await self._behind.get_approval(grant.prompt.id)
                judged = approval is None or approval.state is not ApprovalState.WAITING
            else:
                (judged,) = await self._server.ask(("EXISTS", other))
            if judged:
                return None
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
