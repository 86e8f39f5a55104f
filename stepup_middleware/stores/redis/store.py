"""``RedisHotStore``: prompts, challenges and tokens in Redis or Valkey, everything else in the store behind."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from stepup_middleware.core.approvals import ApprovalEnd, ApprovalState, EndReason
from stepup_middleware.core.attempts import TooMany
from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.decisions import Presentation, Redemption, TokenState
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.grants import GrantRefused, TokenGrant
from stepup_middleware.core.moments import from_micros, span_micros, to_micros
from stepup_middleware.core.prompts import (
    ONE_FLOOD_EVENT_PER,
    PROMPT_LIFETIME,
    NoFactor,
    Prompt,
    PromptRequest,
    PromptState,
    StoredPrompt,
    flood_event,
)
from stepup_middleware.core.recovery import FactorsReset
from stepup_middleware.core.retention import PROMPTS_STAY
from stepup_middleware.core.subject import in_session
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.epoch_store import EpochStore
from stepup_middleware.stores.sealing import Tampered

from .codec import (
    EPOCH,
    challenge_of,
    challenge_text,
    flat,
    milliseconds,
    person_key,
    prompt_fields,
    prompt_holds,
    prompt_key,
    prompt_of,
    session_keys,
)

_ASKING = "asking"  # a prompt's key that is taken, before the prompt is there
_OPEN, _PROVED, _CANCELLED = PromptState.OPEN.value, PromptState.PROVED.value, PromptState.CANCELLED.value


class RedisHotStore(HotState):
    """Hot state in Redis or Valkey (7 or newer), in front of ``behind``, which decides in the end.

    ``url`` is a ``redis://`` or ``rediss://`` address of one server, ``redis+sentinel://host,host/service`` for the
    master that Sentinels name, or ``redis+cluster://host,host`` for a cluster. ``behind`` keeps policy, factors,
    attempts, time-steps and the audit log, and the epoch that fences the hot servers. ``timeout`` bounds each exchange.
    ``tokens_stay`` is how long after its end a token is still known for what it was (a replay is then called
    one); after it, and after a loss, it is unknown and refused.

    A token is consumed in Redis by one script and counts once ``behind`` has its ``ACTION_AUTHORIZED`` in an
    epoch that lasts. A restart, failover, ``FLUSHALL`` or restored copy of a server, or a change of a cluster's hash
    slots, ends the epoch: it costs one more prompt, whatever the servers' persistence, and never a second run. If
    ``behind`` fails after Redis has consumed a token, or the process dies in between, its action has not run: the token
    is decided by ``behind`` alone when it is shown again, and authorized once.

    The attempts of people are counted in ``behind``: a server that forgets must not grant new ones.

    Raises ``ConfigurationError`` when redis is not installed, or ``behind`` cannot stand behind it.
    """

    def __init__(
        self,
        url: str,
        *,
        behind: EpochStore,
        timeout: timedelta = timedelta(seconds=2),
        tokens_stay: timedelta = timedelta(days=30),
    ) -> None:
        if timeout <= timedelta(0) or tokens_stay < timedelta(minutes=1):
            raise ConfigurationError("timeout must be positive, and tokens_stay at least a minute")
        if not isinstance(behind, EpochStore):
            raise ConfigurationError(f"{type(behind).__name__} cannot stand behind Redis: it keeps no epoch for it")
        try:
            from . import issuing, redeeming, server
        except ModuleNotFoundError as error:
            raise ConfigurationError("RedisHotStore needs redis: install stepup-middleware[redis]") from error
        self._behind = behind
        seconds = timeout.total_seconds()
        self._server = server.RedisServer(url, behind, seconds=seconds)
        self._issuer = issuing.Issuer(self._server, behind, seconds=seconds, tokens_stay=tokens_stay)
        self._redeemer = redeeming.Redeemer(self._server, behind, seconds=seconds)
        self._started = False
        self._process = 0

    @property
    def records(self) -> EpochStore:
        return self._behind

    @property
    def waiting(self) -> int:
        return self._redeemer.waiting

    async def start(self) -> None:
        if self._started:
            return
        await self._behind.start()
        try:
            await self._server.start()
        except BaseException:
            await self._server.close()
            await self._behind.close()
            raise
        self._process = os.getpid()
        self._started = True

    async def close(self) -> None:
        if not self._started:
            return
        self._started = False
        with suppress(StoreError):
            await self._redeemer.close()
        await self._server.close()
        await self._behind.close()

    async def probe(self) -> None:
        self._check()
        await self._server.probe()
        await self._behind.probe()

    def _check(self) -> None:
        if not self._started:
            raise StoreError("the store is not started")
        if self._process != os.getpid():
            raise StoreError("the hot store was open during a fork: start the store in each process")

    async def _script(self, name: str, keys: Sequence[str], *arguments: Any) -> Any:
        self._check()
        return await self._server.run_script(name, keys, *arguments)

    # prompts and ceremonies

    async def ask(self, asked: PromptRequest, *, open_limit: int) -> Prompt | NoFactor | TooMany:
        key = prompt_key(asked.prompt_id)
        stay = milliseconds(PROMPT_LIFETIME + PROMPTS_STAY)
        # by its mark it knows the key as its own where it has to be sent twice, as after a restart of the server
        if not await self._script("write", [key], "", stay, "state", _ASKING, "mark", os.urandom(16)):
            raise StoreError("a prompt of this id exists")
        answer: Prompt | NoFactor | TooMany | None = None
        try:
            answer = await self._admit(asked, open_limit)
            return answer
        finally:
            # a request refused for want of a factor still counts: it could else be asked without end
            if not isinstance(answer, Prompt):
                commands = [("DEL", key)] if answer else [("DEL", key), ("ZREM", session_keys(*asked.asker)[0], key)]
                with suppress(StoreError):
                    await self._server.ask(*commands)

    async def _admit(self, asked: PromptRequest, open_limit: int) -> Prompt | NoFactor | TooMany:
        """Decide on a prompt whose key is taken, and open it."""
        now, key = to_micros(asked.now), prompt_key(asked.prompt_id)
        opened, _, refused = session_keys(*asked.asker)
        stay = milliseconds(PROMPT_LIFETIME + PROMPTS_STAY)
        limits = (open_limit, stay, span_micros(ONE_FLOOD_EVENT_PER))
        end = now + span_micros(asked.lifetime)
        admitted = await self._script("admit", [opened, refused], key, end, now, *limits, 0)
        if admitted[0] == 2:
            await self._release_places(opened)
            admitted = await self._script("admit", [opened, refused], key, end, now, *limits, 1)
        if not admitted[0]:
            _, soonest, log, unlogged = admitted
            if log:
                await self._behind.append([flood_event(asked, also_refused_before=unlogged)])
            # a limit of zero has no prompt whose end could be waited for
            return TooMany(retry_after=from_micros(int(float(soonest))) - asked.now if soonest else ONE_FLOOD_EVENT_PER)
        person, until = person_key(*asked.asker[:2]), now + span_micros(PROMPT_LIFETIME + PROMPTS_STAY)
        await self._server.ask(
            ("ZREMRANGEBYSCORE", person, "-inf", now),
            ("ZADD", person, until, asked.asker[2]),
            ("PEXPIRE", person, stay),
        )
        epoch = self._server.epoch
        result = await self._behind.ask_for_hot_store(asked, epoch=epoch)
        if result is None:
            await self._server.locate()
            epoch = self._server.epoch
            result = await self._behind.ask_for_hot_store(asked, epoch=epoch)
        if result is None:
            raise StoreError("new epochs began while the prompt was asked")
        if isinstance(result, Prompt) and not await self._script(
            "write", [key], _ASKING, "", *flat(prompt_fields(result, epoch, self._behind.row_macs))
        ):
            raise StoreError("the prompt was lost while it was asked")
        return result

    async def _release_places(self, opened: str) -> None:
        """Take proved prompts whose token was redeemed or revoked out of the open ones. Done when the limit is reached,
        so that a redemption does not have to.
        """
        (members,) = await self._server.ask(("ZRANGE", opened, 0, -1))
        prompts = await self._server.ask(*(("HMGET", key, "state", "token") for key in members))
        proved = [
            (key, token)
            for key, (state, token) in zip(members, prompts, strict=True)
            if state == _PROVED.encode() and token
        ]
        states = await self._server.ask(*(("HGET", token, "state") for _, token in proved))
        free = [
            key for (key, _), state in zip(proved, states, strict=True) if state != TokenState.ISSUED.value.encode()
        ]
        if free:
            await self._server.ask(("ZREM", opened, *free))

    async def get_prompt(self, prompt_id: str, *, now: datetime) -> StoredPrompt | None:
        self._check()
        wanted = ("HMGET", prompt_key(prompt_id), "state", "epoch", "expires_at", "body", "mac")
        ((state, epoch, expires_at, body, mac),) = await self._server.ask(wanted)
        if body is None or int(epoch) != self._server.epoch or int(expires_at) <= to_micros(now):
            return None
        if not prompt_holds(self._behind.row_macs, epoch, expires_at, body, mac):
            self._behind.met([Tampered("prompts", prompt_id, "", "")])
            return None
        return prompt_of(state, expires_at, body)

    async def set_challenge(self, prompt_id: str, challenge: PendingChallenge, *, now: datetime) -> bool:
        key, text = prompt_key(prompt_id), challenge_text(challenge)
        return bool(await self._script("set_challenge", [key], EPOCH, to_micros(now), text))

    async def pop_challenge(self, prompt_id: str, *, now: datetime) -> PendingChallenge | None:
        text = await self._script("pop_challenge", [prompt_key(prompt_id)], EPOCH, to_micros(now))
        return None if text is None else challenge_of(text)

    async def issue_tokens(self, grants: Sequence[TokenGrant]) -> Sequence[TokenReference | GrantRefused]:
        self._check()
        return await self._issuer.issue(grants)

    async def collect_token(self, reference: TokenReference, *, ttl: timedelta, now: datetime) -> datetime | None:
        self._check()
        return await self._issuer.collect(reference, ttl=ttl, now=now)

    async def cancel_prompt(self, prompt_id: str, *, event: AuditEvent | None, now: datetime) -> bool:
        key, at = prompt_key(prompt_id), to_micros(now)
        moved, state, token, _ = await self._script("move", [key], EPOCH, at, _OPEN, _CANCELLED, "")
        if not moved:
            if state != _PROVED.encode() or not token:
                return False
            if not await self._script("revoke", [token.decode()], "cancelled", "", at):
                return False
            await self._script("move", [key], EPOCH, at, _PROVED, _CANCELLED, "")
            await self._take_place(key)
        if event is not None:
            await self._behind.append([event])
        return True

    async def _take_place(self, key: str) -> None:
        """Count a prompt among the session's open ones again, as before it was proved."""
        ((expires_at, body),) = await self._server.ask(("HMGET", key, "expires_at", "body"))
        if body is not None:
            prompt = prompt_of(_CANCELLED.encode(), expires_at, body).prompt
            opened, _, _ = session_keys(prompt.workspace_id, prompt.subject_id, prompt.session)
            stay = milliseconds(PROMPT_LIFETIME + PROMPTS_STAY)
            await self._server.ask(("ZADD", opened, int(expires_at), key), ("PEXPIRE", opened, stay))

    async def reset_factors(self, wanted: FactorsReset, events: Sequence[AuditEvent], *, now: datetime) -> bool:
        """The records first: from then on no prompt and no token of the person is worth anything, for want of factors.

        The rest of them here is then ended; a fault in that leaves it as it is, to expire.
        """
        self._check()
        if not await self._behind.reset_factors_for_hot_store(wanted, events, now=now):
            return False
        with suppress(StoreError):
            key = person_key(wanted.workspace_id, wanted.subject_id)
            (sessions,) = await self._server.ask(("ZRANGE", key, 0, -1))
            for session in sessions:
                await self._revoke_session(wanted.workspace_id, wanted.subject_id, session.decode(), now)
        return True

    # redemption

    async def redeem(self, shown: Presentation) -> Redemption:
        self._check()
        return await self._redeemer.redeem(shown)

    async def revoke_session(self, workspace_id: str, subject_id: str, session: str, *, now: datetime) -> None:
        self._check()
        end = ApprovalEnd(state=ApprovalState.CANCELLED, reason=EndReason.SIGNED_OUT, at=now)
        await self._behind.end_approvals_of_session(workspace_id, subject_id, session, end)
        (known,) = await self._server.ask(("ZRANGE", person_key(workspace_id, subject_id), 0, -1))
        for each in {session, *(one for one in map(bytes.decode, known) if in_session(one, session))}:
            await self._revoke_session(workspace_id, subject_id, each, now)

    async def _revoke_session(self, workspace_id: str, subject_id: str, session: str, now: datetime) -> None:
        opened, held, _ = session_keys(workspace_id, subject_id, session)
        prompts, tokens = await self._server.ask(("ZRANGE", opened, 0, -1), ("ZRANGE", held, 0, -1))
        at = to_micros(now)
        pairs = [json.loads(member) for member in tokens]
        keys = [key.decode() for key in prompts] + [key for _, key in pairs]
        script = self._server.script
        commands = [script("revoke", [token], "session", "", "") for token, _ in pairs]
        for key in keys:
            commands += [script("move", [key], EPOCH, at, state, _CANCELLED, "") for state in (_OPEN, _PROVED)]
        await self._server.ask(*commands, ("DEL", held))

    async def revoke_all(self, *, event: AuditEvent | None, now: datetime) -> None:
        self._check()
        await self._behind.end_epoch_for_hot_store(event=event)
        await self._server.locate()
