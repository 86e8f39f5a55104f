"""The routes of a person's factors: list, enrol, rename, remove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import RedirectResponse, Response

from stepup_middleware.core.binding import Details
from stepup_middleware.core.canonical import base64url
from stepup_middleware.core.factors import EnrolmentBasis, Factor, FactorKind, WebAuthnFactor
from stepup_middleware.core.moments import iso
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.purposes import FACTOR_CHANGE, Purpose
from stepup_middleware.core.refusals import Refusal
from stepup_middleware.core.texts import marked
from stepup_middleware.languages import Texts
from stepup_middleware.request.context import Tag
from stepup_middleware.request.decision import Gate, admit
from stepup_middleware.request.site import is_navigation
from stepup_middleware.service.factors import factor_name

from .answers import SAFE_HEADERS
from .call import BadRequest, Call, wanted_kind
from .pages import factor_view, own_path, page_before, qr_svg, render, sign_in_url


async def list_factors(call: Call) -> Response:
    """Show a person's factors: page or JSON."""
    await call.stepup._parts.recovery.meet(call.requester)
    if call.request.headers.get("hx-request") is None and not is_navigation(call.request.scope):
        hold = await call.stepup._parts.recovery.hold_of(call.requester)
        held_until = None if hold is None else iso(hold.until)
        return call.json_response({"factors": await _factors(call), "held_until": held_until})
    return call.html_response(await factors_page(call))


async def _factors(call: Call) -> list[dict[str, Any]]:
    return [factor_view(factor, call.texts) for factor in await call.stepup.factors.list(call.requester.subject)]


async def factors_page(
    call: Call, *, error: str = "", failed: str = "", confirming: Mapping[str, str] | None = None
) -> str:
    """Render the page of factors. ``failed`` is the form (``pass``, ``code``, ``confirm``) that the sentence is about.

    ``confirming`` is an authenticator app whose code is asked for without JavaScript: its ``id`` and ``name``, and
    with ``secret`` and ``qr_svg`` where it has just begun.
    """
    recovery, scope = call.stepup._parts.recovery, call.request.scope
    basis = await call.stepup._parts.enrolment.basis(call.requester)
    closed = basis if isinstance(basis, Refusal) else None
    listed, right = await call.stepup.factors.list(call.requester.subject), await recovery.right_of(call.requester)
    factors = [factor_view(factor, call.texts) for factor in listed]
    hold = await recovery.hold_of(call.requester)
    return render(
        "factors.html",
        call.stepup,
        call.base,
        call.texts,
        subject_name=call.requester.subject.name,
        factors=factors,
        factors_url=f"{call.base}/factors",
        signals=await _signals(call, listed),
        back_url=own_path(call.request.query_params.get("next")),
        held_until=None if hold is None else call.texts.moment(hold.until),
        right_until=None if right is None else call.texts.moment(right.expires_at),
        takes_pass=recovery.rules.first_factor.takes_pass and not factors and right is None,
        codes=recovery.rules.recovery_codes,
        holds=bool(recovery.rules.recovery_hold),
        codes_left=await recovery.codes_left(call.requester),
        error=error,
        failed=failed,
        confirming=confirming,
        closed=None if closed is None else call.texts(closed.wording),
        sign_in=None if closed is None else sign_in_url(closed, call.stepup, page_before(scope, call.stepup)),
        may_begin=not isinstance(basis, Refusal) and basis is not EnrolmentBasis.STEP_UP,
    )


async def _signals(call: Call, listed: Sequence[Factor]) -> dict[str, Any] | None:
    """Return what the page may signal to the browser (WebAuthn L3 §5.1.10): of passkeys that were registered here.

    One that was imported has another user handle, and the app's own sign-in may use it still: of it nothing is said.
    """
    keys = [factor for factor in listed if isinstance(factor, WebAuthnFactor)]
    if not keys:
        return None
    subject = call.requester.subject
    handle = await call.stepup.factors.user_handle(subject)
    own = {factor.id: base64url(factor.credential_id) for factor in keys if factor.user_handle == handle}
    if not own:
        return None
    return {
        "rp_id": call.stepup.relying_party.id,
        "user": base64url(handle),
        "account": subject.account,
        "person": subject.name or subject.id,
        "credentials": own,
    }


def _removal(texts: Texts, factor: Factor) -> tuple[tuple[str, str], ...]:
    return (texts(marked("Remove")), factor.name), (texts(marked("Kind")), texts(factor.kind.label))


async def _may_enrol(call: Call, kind: FactorKind) -> EnrolmentBasis | Refusal:
    """Return on what a person enrols: a further factor takes a step-up with the strongest kind there is."""
    basis = await call.stepup._parts.enrolment.basis(call.requester)
    if basis is not EnrolmentBasis.STEP_UP:
        return basis
    proved = await step_up(call, FACTOR_CHANGE, ((call.texts(marked("Add")), call.texts(kind.label)),))
    return proved if isinstance(proved, Refusal) else basis


async def step_up(call: Call, purpose: Purpose, details: Details) -> Proof | Refusal:
    """Ask for a proof of one of the library's own purposes."""
    verdict = await admit(
        call.guarded,
        Tag(purpose.id, details),
        scope=call.request.scope,
        purpose=purpose,
        gate=Gate(hands_on=False),
    )
    if isinstance(verdict, Refusal):
        call.guarded.answered = True
    return verdict


async def factor_options(call: Call) -> Response:
    """Begin to enrol a passkey or a hardware key."""
    if (kind := wanted_kind(await call.json())) is None:
        raise BadRequest
    await call.stepup._parts.recovery.meet(call.requester)
    basis = await _may_enrol(call, kind)
    if isinstance(basis, Refusal):
        return call.refuse(basis)
    options = await call.stepup._parts.enrolment.begin_webauthn(call.requester, kind, basis)
    return call.refuse(options) if isinstance(options, Refusal) else call.json_response(options)


async def factor_finish(call: Call) -> Response:
    """Finish enrolling a passkey or a hardware key."""
    body = await call.json()
    factor = await call.stepup._parts.enrolment.finish_webauthn(
        call.requester, body.get("name"), body.get("credential")
    )
    return (
        call.refuse(factor) if isinstance(factor, Refusal) else call.json_response(factor_view(factor, call.texts), 201)
    )


async def totp_begin(call: Call) -> Response:
    """Begin to enrol an authenticator app, by JSON or by the form of the page without JavaScript."""
    await call.body()
    await call.stepup._parts.recovery.meet(call.requester)
    basis = await _may_enrol(call, FactorKind.TOTP)
    if isinstance(basis, Refusal):
        return call.refuse(basis)
    new = await call.stepup._parts.enrolment.begin_totp(call.requester, basis)
    if isinstance(new, Refusal):
        return call.refuse(new)
    view = {"id": new.id, "secret": new.secret, "uri": new.uri, "qr_svg": qr_svg(new.uri)}
    if call.sends_form:
        name = factor_name((await call.form()).get("name"), FactorKind.TOTP)
        return call.html_response(await factors_page(call, confirming={**view, "name": name}))
    return call.json_response(view, 201)


async def totp_confirm(call: Call) -> Response:
    """Confirm an authenticator app by a code of it, by JSON or by the form of the page without JavaScript."""
    body: Mapping[str, Any] = await call.form() if call.sends_form else await call.json()
    enrolment_id = call.parameter("factor_id")
    factor = await call.stepup._parts.enrolment.confirm_totp(
        call.requester, enrolment_id, body.get("code"), body.get("name")
    )
    if call.sends_form:
        if not isinstance(factor, Refusal):
            return RedirectResponse(f"{call.base}/factors", status_code=303, headers=SAFE_HEADERS)
        confirming = {"id": enrolment_id, "name": factor_name(body.get("name"), FactorKind.TOTP)}
        page = await factors_page(call, error=call.texts(factor.wording), failed="confirm", confirming=confirming)
        return call.html_response(page, status=factor.status)
    return call.refuse(factor) if isinstance(factor, Refusal) else call.json_response(factor_view(factor, call.texts))


async def rename_factor(call: Call) -> Response:
    """Rename a factor."""
    body = await call.json()
    if not isinstance(body.get("name"), str) or not body["name"].strip():
        raise BadRequest
    factor = await call.stepup.factors.rename(call.requester, call.parameter("factor_id"), body["name"])
    return call.refuse(factor) if isinstance(factor, Refusal) else call.json_response(factor_view(factor, call.texts))


async def remove_factor(call: Call) -> Response:
    """Remove a factor, after a step-up."""
    factor_id = call.parameter("factor_id")
    factor = await call.stepup.factors.removable(call.requester.subject, factor_id)
    if isinstance(factor, Refusal):
        return call.refuse(factor)
    proved = await step_up(call, FACTOR_CHANGE, _removal(call.texts, factor))
    if isinstance(proved, Refusal):
        return call.refuse(proved)
    refusal = await call.stepup._parts.recovery.shielded(call.requester, factor.created_at, proved)
    refusal = refusal or await call.stepup.factors.remove(call.requester, factor_id)
    return Response(status_code=204, headers=SAFE_HEADERS) if refusal is None else call.refuse(refusal)
