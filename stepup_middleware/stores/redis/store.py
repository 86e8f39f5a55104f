"""``RedisHotStore``: prompts, challenges and tokens in Redis or Valkey, everything else in the store behind."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.decisions import Presentation, Redemption
from stepup_middleware.core.events import AuditEvent, AuditRecord
from stepup_middleware.core.factors import Factor, FactorKind, TOTPFactor, WebAuthnFactor
from stepup_middleware.core.moments import from_micros, span_micros, to_micros
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.prompts import (
    ONE_FLOOD_EVENT_PER,
    PROMPT_LIFETIME,
    Asked,
    NoFactor,
    Prompt,
    PromptState,
    StoredPrompt,
    flood_event,
)
from stepup_middleware.core.retention import PROMPTS_STAY
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.base import (
    Alert,
    AttemptLimit,
    AuditFilter,
    AuditPage,
    ChainStart,
    Enrolment,
    EventCounts,
    GrantRefused,
    Purged,
    SignedHead,
    Store,
    TokenGrant,
    TooMany,
)
from stepup_middleware.stores.ledger import Ledger

from .codec import (
    challenge_of,
    challenge_text,
    prompt_fields,
    prompt_key,
    prompt_of,
    session_keys,
    token_fields,
    token_key,
)

_ASKING = "asking"  # a prompt's key that is taken, before the prompt is there
_LOOK_AGAIN_SECONDS = 0.01  # while another proof of the same prompt is judged
_OPEN, _PROVED, _CANCELLED = PromptState.OPEN.value, PromptState.PROVED.value, PromptState.CANCELLED.value


class RedisHotStore(Store):
    """Hot state in Redis or Valkey (7 or newer), in front of ``behind``, which has the last word.

    ``url`` is a ``redis://`` or ``rediss://`` address. ``behind`` keeps policy, factors, attempts, time-steps and
    the audit log, and the epoch that fences the hot server. ``timeout`` bounds each exchange with the server.
    ``tokens_stay`` is how long after its end a token is still known for what it was (a replay is then called
    one); after it, and after a loss, it is unknown and refused.

    A token is consumed in Redis by one script and counts once ``behind`` has its ``ACTION_AUTHORIZED`` in an
    epoch that lasts. A restart, failover, ``FLUSHALL`` or restored copy of the server ends the epoch: it costs
    one more prompt, whatever the server's persistence, and never a second run. If ``behind`` fails after
    Redis has consumed a token, that token is spent and its action has not run.

    The attempts of people are counted in ``behind``: a server that forgets must not grant new ones.

    Raises ``ConfigurationError`` when redis is not installed, or ``behind`` cannot stand behind it.
    """

    def __init__(
        self,
        url: str,
        *,
        behind: Store,
        timeout: timedelta = timedelta(seconds=2),
        tokens_stay: timedelta = timedelta(days=30),
    ) -> None:
        if timeout <= timedelta(0) or tokens_stay < timedelta(minutes=1):
            raise ConfigurationError("timeout must be positive, and tokens_stay at least a minute")
        if not isinstance(behind, Ledger):
            raise ConfigurationError(f"{type(behind).__name__} cannot stand behind Redis: it keeps no epoch for it")
        try:
            from .redeeming import Redeemer
            from .server import Elsewhere, Server
        except ModuleNotFoundError as error:
            raise ConfigurationError("RedisHotStore needs redis: install stepup-middleware[redis]") from error
        self._behind: Store = behind
        self._ledger: Ledger = behind
        self._tokens_stay = tokens_stay
        self._seconds = timeout.total_seconds()
        self._elsewhere = Elsewhere
        self._server = Server(url, self._ledger, seconds=timeout.total_seconds())
        self._redeemer = Redeemer(self._server, self._behind, self._ledger, seconds=self._seconds)
        self._started = False
        self._process = 0

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

    def _check(self) -> None:
        if not self._started:
            raise StoreError("the store is not started")
        if self._process != os.getpid():
            raise StoreError("the hot store was open during a fork: start the store in each process")

    async def _script(self, name: str, keys: Sequence[str], *arguments: Any) -> Any:
        self._check()
        (answer,) = await self._server.ask(self._server.script(name, keys, *arguments))
        return answer

    # prompts and ceremonies

    async def ask(self, asked: Asked, *, open_limit: int) -> Prompt | NoFactor | TooMany:
        key = prompt_key(asked.prompt_id)
        stay = _milliseconds(PROMPT_LIFETIME + PROMPTS_STAY)
        if not await self._script("put", [key], stay, "state", _ASKING):
            raise StoreError("a prompt of this id exists")
        answer: Prompt | NoFactor | TooMany | None = None
        try:
            answer = await self._admit(asked, open_limit)
            return answer
        finally:
            # what was refused for want of a factor keeps its place: else who asks for it asks without end
            if not isinstance(answer, Prompt):
                commands = [("DEL", key)] if answer else [("DEL", key), ("ZREM", session_keys(*asked.asker)[0], key)]
                with suppress(StoreError):
                    await self._server.ask(*commands)

    async def _admit(self, asked: Asked, open_limit: int) -> Prompt | NoFactor | TooMany:
        """Decide on a prompt whose key is taken, and open it."""
        now, key = to_micros(asked.now), prompt_key(asked.prompt_id)
        opened, _, refused = session_keys(*asked.asker)
        stay = _milliseconds(PROMPT_LIFETIME + PROMPTS_STAY)
        limits = (open_limit, stay, span_micros(ONE_FLOOD_EVENT_PER))
        end = now + span_micros(PROMPT_LIFETIME)
        admitted = await self._script("admit", [opened, refused], key, end, now, *limits)
        if not admitted[0]:
            _, soonest, log, unlogged = admitted
            if log:
                await self._behind.append([flood_event(asked, also_refused_before=unlogged)])
            # a limit of zero has no prompt whose end could be waited for
            return TooMany(retry_after=from_micros(int(float(soonest))) - asked.now if soonest else ONE_FLOOD_EVENT_PER)
        epoch = self._server.epoch
        result = await self._ledger.ask_hot(asked, epoch=epoch)
        if result is None:
            await self._server.locate()
            epoch = self._server.epoch
            result = await self._ledger.ask_hot(asked, epoch=epoch)
        if result is None:
            raise StoreError("new epochs began while the prompt was asked")
        if isinstance(result, Prompt) and not await self._script("fill", [key], *_flat(prompt_fields(result, epoch))):
            raise StoreError("the prompt was lost while it was asked")
        return result

    async def get_prompt(self, prompt_id: str, *, now: datetime) -> StoredPrompt | None:
        self._check()
        wanted = ("HMGET", prompt_key(prompt_id), "state", "epoch", "expires_at", "body")
        ((state, epoch, expires_at, body),) = await self._server.ask(wanted)
        if body is None or int(epoch) != self._server.epoch or int(expires_at) <= to_micros(now):
            return None
        return prompt_of(state, expires_at, body)

    async def set_challenge(self, prompt_id: str, challenge: PendingChallenge, *, now: datetime) -> bool:
        key, text = prompt_key(prompt_id), challenge_text(challenge)
        return bool(await self._script("set_challenge", [key], self._server.epoch, to_micros(now), text))

    async def pop_challenge(self, prompt_id: str, *, now: datetime) -> PendingChallenge | None:
        text = await self._script("pop_challenge", [prompt_key(prompt_id)], self._server.epoch, to_micros(now))
        return None if text is None else challenge_of(text)

    async def reserve_attempt(
        self, workspace_id: str, subject_id: str, bucket: str, *, limit: AttemptLimit, now: datetime
    ) -> TooMany | None:
        return await self._behind.reserve_attempt(workspace_id, subject_id, bucket, limit=limit, now=now)

    async def issue_token(self, grant: TokenGrant) -> TokenReference | GrantRefused:
        """Consume first: the prompt is closed, then the proof is spent in the ledger, and the token comes last.

        A fault in between leaves no token, and a prompt that serves no second ceremony.
        """
        prompt = grant.prompt
        reference = TokenReference(int.from_bytes(os.urandom(7), "big"), grant.nonce)
        key, token = prompt_key(prompt.id), token_key(reference)
        at = to_micros(grant.issued_at)
        epoch = await self._close_prompt(key, token, at)
        if epoch is None:
            return GrantRefused.PROMPT_CLOSED
        try:
            refused = await self._ledger.prove_hot(grant, epoch=epoch)
        except Exception:
            # whatever became of the proof, it serves once at most: the person may try with another
            with suppress(StoreError):
                await self._script("move", [key], epoch, at, _PROVED, _OPEN, "")
            raise
        if refused is not None:
            await self._script("move", [key], epoch, at, _PROVED, _OPEN, "")
            return refused
        opened, held, _ = session_keys(prompt.workspace_id, prompt.subject_id, prompt.session)
        life = _milliseconds(grant.expires_at - grant.issued_at + self._tokens_stay)
        member = json.dumps([token, key])
        put, *_, state = await self._server.ask(
            self._server.script("put", [token], life, *_flat(token_fields(grant, epoch))),
            ("ZREMRANGEBYSCORE", held, "-inf", at),
            ("ZADD", held, to_micros(grant.expires_at), member),
            ("PEXPIRE", held, _milliseconds(PROMPTS_STAY)),
            ("ZREM", opened, key),
            ("HGET", key, "state"),
        )
        if not put or state != _PROVED.encode():
            # cancelled or signed out while the proof was spent
            await self._script("revoke", [token], "cancelled", "", "")
            return GrantRefused.PROMPT_CLOSED
        return reference

    async def _close_prompt(self, key: str, token: str, at: int) -> int | None:
        """Close a prompt in favour of a token; return the epoch, or None when it was closed before.

        While another proof of it is judged, wait: if that one is refused, the prompt is open again.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        while True:
            epoch = self._server.epoch
            moved, state, other = await self._script("move", [key], epoch, at, _OPEN, _PROVED, token)
            if moved:
                return epoch
            if state != _PROVED.encode() or not other or loop.time() >= end:
                return None
            (minted,) = await self._server.ask(("EXISTS", other))
            if minted:
                return None
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def cancel_prompt(self, prompt_id: str, *, event: AuditEvent, now: datetime) -> bool:
        key, at, epoch = prompt_key(prompt_id), to_micros(now), self._server.epoch
        moved, state, token = await self._script("move", [key], epoch, at, _OPEN, _CANCELLED, "")
        if not moved:
            if state != _PROVED.encode() or not token:
                return False
            if not await self._script("revoke", [token.decode()], "cancelled", "", at):
                return False
            await self._script("move", [key], epoch, at, _PROVED, _CANCELLED, "")
            await self._take_place(key)
        await self._behind.append([event])
        return True

    async def _take_place(self, key: str) -> None:
        """Give a prompt its place among the open ones back, which it had left when it was proved."""
        ((expires_at, body),) = await self._server.ask(("HMGET", key, "expires_at", "body"))
        if body is not None:
            prompt = prompt_of(_CANCELLED.encode(), expires_at, body).prompt
            opened, _, _ = session_keys(prompt.workspace_id, prompt.subject_id, prompt.session)
            stay = _milliseconds(PROMPT_LIFETIME + PROMPTS_STAY)
            await self._server.ask(("ZADD", opened, int(expires_at), key), ("PEXPIRE", opened, stay))

    # redemption

    async def redeem(self, shown: Presentation) -> Redemption:
        self._check()
        return await self._redeemer.redeem(shown)

    async def revoke_session(self, workspace_id: str, subject_id: str, session: str, *, now: datetime) -> None:
        self._check()
        opened, held, _ = session_keys(workspace_id, subject_id, session)
        prompts, tokens = await self._server.ask(("ZRANGE", opened, 0, -1), ("ZRANGE", held, 0, -1))
        epoch, at = self._server.epoch, to_micros(now)
        pairs = [json.loads(member) for member in tokens]
        keys = [key.decode() for key in prompts] + [key for _, key in pairs]
        script = self._server.script
        commands = [script("revoke", [token], "session", "", "") for token, _ in pairs]
        for key in keys:
            commands += [script("move", [key], epoch, at, state, _CANCELLED, "") for state in (_OPEN, _PROVED)]
        await self._server.ask(*commands, ("DEL", held))

    async def revoke_all(self, *, event: AuditEvent | None, now: datetime) -> None:
        self._check()
        await self._behind.revoke_all(event=event, now=now)
        await self._server.locate()

    # audit, policy and factors are those of the store behind

    async def append(self, events: Sequence[AuditEvent]) -> None:
        await self._behind.append(events)

    def append_soon(self, event: AuditEvent) -> None:
        self._behind.append_soon(event)

    def subscribe(self, heard: Callable[[Sequence[tuple[int, AuditEvent]]], None]) -> None:
        self._behind.subscribe(heard)

    async def audit_page(
        self, workspace_id: str | None, wanted: AuditFilter, *, before: int | None, limit: int
    ) -> AuditPage:
        return await self._behind.audit_page(workspace_id, wanted, before=before, limit=limit)

    async def count_events(self, workspace_id: str, *, since: datetime, until: datetime | None = None) -> EventCounts:
        return await self._behind.count_events(workspace_id, since=since, until=until)

    async def audit_after(
        self, workspace_id: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> tuple[AuditRecord, ...]:
        return await self._behind.audit_after(workspace_id, wanted, after=after, limit=limit)

    async def last_seq(self) -> int:
        return await self._behind.last_seq()

    async def audit_segment(self, chain: str, first: int, last: int) -> tuple[AuditRecord, ...]:
        return await self._behind.audit_segment(chain, first, last)

    async def chain_heads(self) -> tuple[AuditRecord, ...]:
        return await self._behind.chain_heads()

    async def chain_starts(self) -> tuple[ChainStart, ...]:
        return await self._behind.chain_starts()

    async def add_head(self, head: SignedHead) -> None:
        await self._behind.add_head(head)

    async def heads(self, chain: str, *, from_link: int = 0, limit: int = 100) -> tuple[SignedHead, ...]:
        return await self._behind.heads(chain, from_link=from_link, limit=limit)

    async def signed_chains(self) -> tuple[str, ...]:
        return await self._behind.signed_chains()

    async def wait_for_audit(self, after: int, *, seconds: float) -> None:
        await self._behind.wait_for_audit(after, seconds=seconds)

    async def purge(self, *, now: datetime, limit: int, vouched: bool = False) -> Purged:
        """Remove what is over from the store behind. What is in Redis goes by itself, after its life."""
        return await self._behind.purge(now=now, limit=limit, vouched=vouched)

    async def claim_alerts(self, *, now: datetime, until: datetime, limit: int) -> tuple[Alert, ...]:
        return await self._behind.claim_alerts(now=now, until=until, limit=limit)

    async def settle_alert(self, seq: int, *, had: Sequence[str], over: bool) -> None:
        await self._behind.settle_alert(seq, had=had, over=over)

    async def get_policy(self, workspace_id: str) -> StoredPolicy:
        return await self._behind.get_policy(workspace_id)

    async def set_policy(
        self, workspace_id: str, changes: Sequence[tuple[str, str]], events: Sequence[AuditEvent], *, now: datetime
    ) -> StoredPolicy:
        return await self._behind.set_policy(workspace_id, changes, events, now=now)

    async def list_factors(self, workspace_id: str, subject_id: str) -> tuple[Factor, ...]:
        return await self._behind.list_factors(workspace_id, subject_id)

    async def user_handle(self, workspace_id: str, subject_id: str, *, fresh: bytes) -> bytes:
        return await self._behind.user_handle(workspace_id, subject_id, fresh=fresh)

    async def begin_enrolment(self, enrolment: Enrolment, *, now: datetime) -> None:
        await self._behind.begin_enrolment(enrolment, now=now)

    async def pop_enrolment(
        self, workspace_id: str, subject_id: str, session: str, kind: FactorKind, *, id: str | None, now: datetime
    ) -> Enrolment | None:
        return await self._behind.pop_enrolment(workspace_id, subject_id, session, kind, id=id, now=now)

    async def get_enrolment(
        self, workspace_id: str, subject_id: str, session: str, kind: FactorKind, *, id: str, now: datetime
    ) -> Enrolment | None:
        return await self._behind.get_enrolment(workspace_id, subject_id, session, kind, id=id, now=now)

    async def add_webauthn_factor(
        self, workspace_id: str, subject_id: str, factor: WebAuthnFactor, *, event: AuditEvent, first: bool = False
    ) -> bool:
        return await self._behind.add_webauthn_factor(workspace_id, subject_id, factor, event=event, first=first)

    async def add_totp_factor(
        self,
        workspace_id: str,
        subject_id: str,
        factor: TOTPFactor,
        *,
        enrolment_id: str,
        event: AuditEvent,
        first: bool = False,
    ) -> bool:
        return await self._behind.add_totp_factor(
            workspace_id, subject_id, factor, enrolment_id=enrolment_id, event=event, first=first
        )

    async def rename_factor(self, workspace_id: str, subject_id: str, factor_id: str, name: str) -> bool:
        return await self._behind.rename_factor(workspace_id, subject_id, factor_id, name)

    async def remove_factor(
        self,
        workspace_id: str,
        subject_id: str,
        factor_id: str,
        *,
        event: AuditEvent,
        now: datetime,
        only_spare: bool = False,
    ) -> bool:
        return await self._behind.remove_factor(
            workspace_id, subject_id, factor_id, event=event, now=now, only_spare=only_spare
        )

    async def last_time_step(self, workspace_id: str, subject_id: str) -> int:
        return await self._behind.last_time_step(workspace_id, subject_id)

    async def advance_time_step(self, workspace_id: str, subject_id: str, step: int) -> bool:
        return await self._behind.advance_time_step(workspace_id, subject_id, step)

    async def reencrypt_secrets(self, limit: int, after: str, rewrite: Callable[[bytes], bytes]) -> str | None:
        return await self._behind.reencrypt_secrets(limit, after, rewrite)


def _milliseconds(span: timedelta) -> int:
    return max(1, span // timedelta(milliseconds=1))


def _flat(fields: dict[str, Any]) -> list[Any]:
    return [part for pair in fields.items() for part in pair]
