"""Prompts and tokens as Redis holds them: what scripts compare in fields, the rest as JSON."""

from __future__ import annotations

import json
from datetime import timedelta
from hashlib import sha256
from typing import Any

from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.decisions import CLOCK_SKEW, Presentation, TokenRow, TokenState
from stepup_middleware.core.grants import TokenGrant
from stepup_middleware.core.moments import from_micros, span_micros, to_micros
from stepup_middleware.core.prompts import Prompt, PromptState, StoredPrompt
from stepup_middleware.core.replays import Replays
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores import rows, sealing
from stepup_middleware.stores.rows import Facts, grant_row, stored_prompt
from stepup_middleware.stores.sealing import sealed_token

EPOCH = object()  # in a command, the epoch that the servers serve when it is sent
_SKEW = span_micros(CLOCK_SKEW)


def utf8(text: str) -> bytes:
    """Return a text as bytes, whatever an app puts in it: lone surrogates too."""
    return text.encode("utf-8", "surrogatepass")


def prompt_key(prompt_id: str) -> str:
    """Return the key of a prompt."""
    return f"stepup:prompt:{{{sha256(utf8(prompt_id)).hexdigest()}}}"


def token_key(reference: TokenReference) -> str:
    """Return the key of a token. The nonce is part of it: an id without its nonce leads nowhere."""
    return f"stepup:token:{{{reference.id:x}.{reference.nonce.hex()}}}"


def session_keys(workspace_id: str, subject_id: str, session: str) -> tuple[str, str, str]:
    """Return the keys of a session's open prompts, of its tokens, and of its refusals, all in one hash slot."""
    text = json.dumps([workspace_id, subject_id, session])
    tag = sha256(text.encode()).hexdigest()
    return f"stepup:open:{{{tag}}}", f"stepup:held:{{{tag}}}", f"stepup:refused:{{{tag}}}"


def person_key(workspace_id: str, subject_id: str) -> str:
    """Return the key of the sessions of a person that asked for something."""
    return f"stepup:sessions:{{{sha256(json.dumps([workspace_id, subject_id]).encode()).hexdigest()}}}"


def prompt_fields(prompt: Prompt, epoch: int, macs: RowMacs) -> dict[str, Any]:
    """Return the hash of a new prompt, with a MAC over all but its state."""
    body = {
        **prompt.kept(),
        "id": prompt.id,
        "workspace": prompt.workspace_id,
        "subject": prompt.subject_id,
        "session": prompt.session,
        "created_at": to_micros(prompt.created_at),
    }
    text, expires_at = canonical_json(body), to_micros(prompt.expires_at)
    return {
        "state": PromptState.OPEN.value,
        "epoch": epoch,
        "expires_at": expires_at,
        "body": utf8(text),
        "mac": macs.make_for_text(_prompt_text(epoch, expires_at, text)),
    }


def prompt_holds(macs: RowMacs, epoch: bytes, expires_at: bytes, text: bytes, mac: bytes | None) -> bool:
    """Tell whether the hash of a prompt is as this installation wrote it, whatever its state."""
    try:
        text_of = _prompt_text(int(epoch), int(expires_at), text.decode("utf-8", "surrogatepass"))
    except ValueError:
        return False
    return mac is not None and macs.holds_for_text(text_of, mac)


def _prompt_text(epoch: int, expires_at: int, body: str) -> str:
    return f'["prompt of a hot store",{epoch},{expires_at},{body}]'


def prompt_of(state: bytes, expires_at: bytes, text: bytes) -> StoredPrompt:
    """Return the prompt of a hash."""
    body = json.loads(text)
    holder = body["id"], body["workspace"], body["subject"], body["session"]
    return stored_prompt(body, *holder, state.decode(), body["created_at"], int(expires_at))


def challenge_text(challenge: PendingChallenge) -> str:
    """Return a challenge as text."""
    return json.dumps([challenge.nonce.hex(), challenge.factor_ids, to_micros(challenge.expires_at)])


def challenge_of(text: bytes) -> PendingChallenge:
    """Return the challenge of a text."""
    nonce, factor_ids, expires_at = json.loads(text)
    return PendingChallenge(
        nonce=bytes.fromhex(nonce), factor_ids=tuple(factor_ids), expires_at=from_micros(expires_at)
    )


def bound_digest(*parts: str) -> bytes:
    """Return the SHA-256 of all that a token is bound to: workspace, subject, session, IP, purpose, request, details.

    The script compares one digest; ``core.decisions`` finds in the token's body which part differs.
    """
    return sha256(utf8(canonical_json(parts))).digest()


def token_fields(grant: TokenGrant, epoch: int, macs: RowMacs) -> dict[str, Any]:
    """Return the hash of the token that a grant brings. Its MAC is the last part of the body."""
    _, _, *row = sealed_token(macs, epoch, grant_row(grant))
    body = [value.hex() if isinstance(value, bytes) else value for value in row]
    workspace, subject, session, ip, purpose, _, _, request, details, _, kind, issued_at, expires_at, _ = body[1:]
    return {
        "state": grant.state.value,
        "epoch": epoch,
        "bound": bound_digest(workspace, subject, session, ip, purpose, request, details),
        "kind": kind,
        "issued_at": issued_at,
        "expires_at": expires_at,
        "body": json.dumps(body),
    }


def token_holds(macs: RowMacs, reference: TokenReference, epoch: int, text: bytes) -> bool:
    """Tell whether the body of a token's hash is as this installation minted it, in this epoch."""
    try:
        *bound, request, details, factor, kind, issued_at, expires_at, mac = json.loads(text)
        digests = (bytes.fromhex(request), bytes.fromhex(details))
        row = (reference.nonce, *bound, *digests, factor, kind, issued_at, expires_at)
        return sealing.token_holds(macs, epoch, row, bytes.fromhex(mac))
    except (ValueError, TypeError):
        return False


def collected_body(macs: RowMacs, reference: TokenReference, epoch: int, text: bytes, life: tuple[int, int]) -> str:
    """Return the body of a token whose life is another one, in microseconds, with its MAC."""
    *bound, request, details, factor, kind, _, _, _ = json.loads(text)
    digests = (bytes.fromhex(request), bytes.fromhex(details))
    *_, mac = sealed_token(macs, epoch, (reference.nonce, *bound, *digests, factor, kind, *life))
    return json.dumps([*bound, request, details, factor, kind, *life, mac.hex()])


def token_of(
    reference: TokenReference,
    state: TokenState,
    text: bytes,
    attempt: bytes | None,
    redeemed: bytes | None,
    replays: Replays,
) -> TokenRow:
    """Return the token of the fields of a hash."""
    *bound, request, details, factor, kind, issued_at, expires_at, _ = json.loads(text)
    return rows.token_of(
        (
            reference.id,
            reference.nonce,
            state.value,
            *bound,
            bytes.fromhex(request),
            bytes.fromhex(details),
            factor,
            kind,
            issued_at,
            expires_at,
            bytes.fromhex(attempt.decode()) if attempt else None,
            *(json.loads(redeemed.decode("utf-8", "surrogatepass")) if redeemed else (None, "", "")),
            replays.count,
            replays.presenters,
        )
    )


def redeemed_token(shown: Presentation, text: bytes) -> TokenRow:
    """Return the token that a presentation redeemed, of the body of its hash."""
    prompt, *_, requirement, policy_version, _, _, factor, kind, issued_at, expires_at, _ = json.loads(text.decode())
    return rows.redeemed_token(shown, Facts(prompt, factor, kind, requirement, policy_version, issued_at, expires_at))


def shown_arguments(shown: Presentation, epoch: int) -> tuple[Any, ...]:
    """Return a presentation as the redeeming script reads it."""
    now, request, details = to_micros(shown.now), shown.request_digest.hex(), shown.details_digest.hex()
    return (
        epoch,
        shown.attempt.hex(),
        bound_digest(shown.workspace_id, shown.subject_id, shown.session, shown.ip, shown.purpose, request, details),
        utf8(canonical_json([now, shown.ip, shown.user_agent])),
        span_micros(shown.ttl),
        shown.minimum.strength,
        now,
        _SKEW,
    )


def milliseconds(span: timedelta) -> int:
    """Return a span in the milliseconds of ``PEXPIRE``: at least one."""
    return max(1, span // timedelta(milliseconds=1))


def flat(fields: dict[str, Any]) -> list[Any]:
    """Return the fields of a hash as the arguments of a command."""
    return [part for pair in fields.items() for part in pair]
