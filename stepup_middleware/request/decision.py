"""May a request run that a gate has asked about? Any fault on the way is a refusal."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from stepup_middleware.asgi import Scope, header, headers
from stepup_middleware.core.binding import BoundRequest, Details, Lines, check_details
from stepup_middleware.core.cookies import chosen_value, cookie_name, token_cookie
from stepup_middleware.core.proof import ActionRequest, Proof
from stepup_middleware.core.purposes import unknown
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.errors import ConfigurationError, StoreError

from .body import BodyDigest, BodyMismatch, BodyTooLarge, BodyTooSlow, WholeBody
from .bound import Unbindable, below_root, bound_request
from .context import DetailsSource, GuardedRequest, Question, Tag, logger
from .site import Standing, is_navigation, is_of_browser, is_same_origin, standing_of

if TYPE_CHECKING:
    from stepup_middleware.core.purposes import Purpose
    from stepup_middleware.service.requester import Requester

TOKEN_HEADER = b"stepup-token"


class Gate(NamedTuple):
    """Where a gate stands and what its handler gave it besides the tag.

    ``framework`` is the method and path as the framework has them, where the scope says something else, ``reading``
    what else it reads a request by, ``body`` and ``token`` what a handler handed over.
    ``held``: what was approved elsewhere of this very request is redeemed (``ActionRequest.held``).
    ``hands_on``: the gate runs an endpoint or an app with its proof, which a gate inside that asks the same question
    may take over (``GuardedRequest.handing_on``). ``shown``: the scope for ``details``, if not that of the request.
    """

    framework: tuple[str, str] | None = None
    reading: Lines = ()
    body: bytes | None = None
    token: bytes | None = None
    hands_on: bool = True
    held: bool = False
    shown: Scope | None = None


def given_token(token: object) -> bytes | None:
    """Return a token that a handler hands over as bytes. Anything else (of a message, say) is a malformed one."""
    if token is None:
        return None
    if isinstance(token, str):
        return token.encode("latin-1", "replace")
    return bytes(token) if isinstance(token, bytes | bytearray | memoryview) else b""


async def admit(
    guarded: GuardedRequest, tag: Tag, *, scope: Scope, purpose: Purpose | None = None, gate: Gate | None = None
) -> Proof | Refusal:
    """Let what the gate guards run, or refuse it. Any fault inside is a refusal.

    ``purpose`` is given where it is none of the catalogue. An exception of the app's own ``details`` callable (its
    404, say) goes to the app unchanged: nothing has run.
    """
    gate = gate or Gate()
    verdict = await _admit(guarded, tag, scope, purpose or guarded.stepup.purposes.get(tag.purpose), gate)
    if isinstance(verdict, Refusal):
        guarded.stepup._parts.figures.refusal(verdict.code.value, tag.purpose)
    if isinstance(verdict, Proof):
        guarded.refusal = None
        scope["stepup"] = verdict
        return verdict
    if guarded.proof is not None and verdict.code is RefusalCode.UNAVAILABLE:
        verdict = Refusal(code=RefusalCode.PARTLY_DONE)  # that nothing has run is no longer known
    guarded.refusal, guarded.firm = verdict, gate.hands_on
    return verdict


async def _admit(
    guarded: GuardedRequest, tag: Tag, scope: Scope, purpose: Purpose | None, gate: Gate
) -> Proof | Refusal:
    stepup = guarded.stepup
    if purpose is None:
        logger.error("a tag names %s (the request is refused)", unknown(tag.purpose, stepup.purposes))
        return Refusal(code=RefusalCode.UNAVAILABLE)
    if header(scope, b"early-data") is not None:
        # anybody who recorded it can replay it; several lines, or another value, count as 1 (RFC 8470 §5.1, §5.2)
        return Refusal(code=RefusalCode.EARLY_DATA)
    standing = standing_of(scope, guarded.context.wire.method, stepup.relying_party.origins)
    if standing is Standing.FOREIGN:
        return Refusal(code=RefusalCode.CROSS_ORIGIN)
    requester = await stepup._parts.identification.identify_request(scope)
    if not await stepup._life.usable():
        return Refusal(code=RefusalCode.UNAVAILABLE)  # in the person's language
    if isinstance(requester, Refusal):
        return requester
    shown = await _details(tag.details, scope if gate.shown is None else gate.shown)
    try:
        body = await _body(guarded, tag, scope, gate)
        request = bound_request(
            guarded.context.wire,
            scope,
            body,
            bind_headers=tag.bind_headers,
            cookies=guarded.read_by_cookies,
            framework=gate.framework,
            reading=gate.reading,
        )
        question = Question(purpose.id, shown, request)
        if guarded.takes_over(question) and gate.token is None and guarded.proof is not None:
            guarded.handed_on = None
            return guarded.proof
        prefetch = standing is Standing.PREFETCH
        async with guarded.presenting:  # what came with the request is presented once, also where tasks ask at once
            application = ActionRequest(
                purpose=purpose,
                request=request,
                details=shown,
                tokens=[] if prefetch else _tokens(guarded, scope, request, gate),
                prefetch=prefetch,
                linked=standing is Standing.LINKED,
                elsewhere=purpose.approvable and not is_of_browser(scope),
                held=gate.held and not is_of_browser(scope),
            )
            verdict = await _decided(guarded, requester, application)
            if isinstance(verdict, Proof):
                guarded.completed({"status": None, "outcome": "went_on"})  # the action before this one
                guarded.proof, guarded.requester, guarded.purpose = verdict, requester, purpose
                guarded.handed_on = question if gate.hands_on else None
            return verdict
    except (BodyTooLarge, BodyTooSlow, BodyMismatch, Unbindable) as error:
        return _unbound(error)
    except StoreError as error:
        logger.error("the store cannot be used, the request is refused: %s", error)
        stepup._parts.figures.store_error(error)
        return Refusal(code=RefusalCode.UNAVAILABLE)
    except TimeoutError as error:
        logger.error("the store did not answer in time, the request is refused")
        stepup._parts.figures.store_error(error)
        return Refusal(code=RefusalCode.UNAVAILABLE)
    except Exception:
        logger.exception("the decision failed; the request is refused")
        return Refusal(code=RefusalCode.UNAVAILABLE)


async def _decided(guarded: GuardedRequest, requester: Requester, wanted: ActionRequest) -> Proof | Refusal:
    """Return what the service decides, in time; the figures tell how long it took."""
    stepup = guarded.stepup
    with stepup._parts.figures.timed("redeem" if wanted.tokens else "ask", wanted.purpose.id) as step:
        async with stepup._life.in_time():
            verdict = await stepup._parts.redemption.admit(requester, wanted)
        step.outcome = verdict.code.value if isinstance(verdict, Refusal) else "ok"
    return verdict


async def _body(guarded: GuardedRequest, tag: Tag, scope: Scope, gate: Gate) -> WholeBody | None:
    """Return the digests of the body that is bound: the one handed over, or that of the request. None: none."""
    if gate.body is not None:
        digest = BodyDigest(headers(scope, b"content-type"))
        digest.put(gate.body)
        await digest.finish()
        return digest.whole()
    if not tag.bind_body or scope["type"] != "http":
        return None
    return await guarded.context.body.complete()


def _tokens(guarded: GuardedRequest, scope: Scope, request: BoundRequest, gate: Gate) -> list[bytes]:
    """Return the tokens for a question: the one handed over; for the first one of a request those of its headers.

    On a same-origin navigation without a header, the library's one-time cookie counts.
    """
    if gate.token is not None:
        return [gate.token]
    if guarded.proof is not None:
        return []  # what came with the request has answered its one question
    given = headers(scope, TOKEN_HEADER)
    stepup = guarded.stepup
    if given or not is_navigation(scope) or not is_same_origin(scope, stepup.relying_party.origins):
        return given
    secure = stepup.relying_party.secure
    value = chosen_value(
        headers(scope, b"cookie"), cookie_name(secure=secure).encode(), stepup._parts.redemption.has_signed
    )
    if not value:
        return []
    path = below_root(request.path, guarded.context.wire.root_path)
    guarded.spent_cookie = token_cookie("", path=path, seconds=0, secure=secure)
    return [value]


async def _details(details: DetailsSource, scope: Scope) -> Details:
    value: Any = details
    if callable(details):
        try:
            value = details(scope)
            if inspect.isawaitable(value):
                value = await value
        except AttributeError as error:
            if error.obj is not scope:
                raise
            raise ConfigurationError(
                f"details are called with the ASGI scope, which is a dict and has no .{error.name}: write "
                f"scope[{error.name!r}], or Request(scope).{error.name} with your framework's Request"
            ) from error
    return () if value is None else check_details(value)


def _unbound(error: Exception) -> Refusal:
    match error:
        case BodyTooLarge():
            return Refusal(code=RefusalCode.BODY_TOO_LARGE)
        case BodyTooSlow():
            return Refusal(code=RefusalCode.BODY_TIMEOUT)
        case Unbindable():
            return Refusal(code=error.code)
    return Refusal(code=RefusalCode.BAD_REQUEST)
