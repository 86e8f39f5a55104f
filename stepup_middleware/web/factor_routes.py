"""The routes of a person's factors: list, enrol, rename, remove."""

from __future__ import annotations

from starlette.responses import Response

from stepup_middleware.core.factors import EnrolmentBasis, Factor, FactorKind
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.purposes import FACTOR_CHANGE
from stepup_middleware.core.refusals import Refusal
from stepup_middleware.core.texts import marked
from stepup_middleware.languages import Texts
from stepup_middleware.request.context import Tag
from stepup_middleware.request.decision import Gate, admit
from stepup_middleware.request.site import is_navigation

from .answers import SAFE_HEADERS
from .call import BadRequest, Call
from .pages import factor_view, own_path, qr_svg, render


async def list_factors(call: Call) -> Response:
    """Show a person's factors: page or JSON."""
    factors = [factor_view(factor, call.texts) for factor in await call.stepup.factors.list(call.requester.subject)]
    if call.request.headers.get("hx-request") is None and not is_navigation(call.request.scope):
        return call.json_response({"factors": factors})
    page = render(
        "factors.html",
        call.stepup,
        call.base,
        call.texts,
        subject_name=call.requester.subject.name,
        factors=factors,
        factors_url=f"{call.base}/factors",
        back_url=own_path(call.request.query_params.get("next")),
    )
    return call.html_response(page)


def _removal(texts: Texts, factor: Factor) -> tuple[tuple[str, str], ...]:
    return (texts(marked("Remove")), factor.name), (texts(marked("Kind")), texts(factor.kind.label))


async def _may_enrol(call: Call, kind: FactorKind) -> EnrolmentBasis | Refusal:
    """Return on what a person enrols: a further factor takes a step-up with the strongest kind there is."""
    basis = await call.stepup._parts.enrolment.basis(call.requester)
    if basis is not EnrolmentBasis.STEP_UP:
        return basis
    return await _step_up(call, ((call.texts(marked("Add")), call.texts(kind.label)),)) or basis


async def _step_up(call: Call, details: tuple[tuple[str, str], ...]) -> Refusal | None:
    verdict = await admit(
        call.guarded,
        Tag(FACTOR_CHANGE.id, details),
        scope=call.request.scope,
        purpose=FACTOR_CHANGE,
        gate=Gate(hands_on=False),
    )
    if isinstance(verdict, Proof):
        return None
    call.guarded.answered = True
    return verdict


async def factor_options(call: Call) -> Response:
    """Begin to enrol a passkey or a hardware key."""
    wanted = (await call.json()).get("kind")
    if wanted not in (FactorKind.PASSKEY, FactorKind.HARDWARE_KEY):
        raise BadRequest
    kind = FactorKind(wanted)
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
    """Begin to enrol an authenticator app."""
    await call.body()
    basis = await _may_enrol(call, FactorKind.TOTP)
    if isinstance(basis, Refusal):
        return call.refuse(basis)
    new = await call.stepup._parts.enrolment.begin_totp(call.requester, basis)
    if isinstance(new, Refusal):
        return call.refuse(new)
    return call.json_response({"id": new.id, "secret": new.secret, "uri": new.uri, "qr_svg": qr_svg(new.uri)}, 201)


async def totp_confirm(call: Call) -> Response:
    """Confirm an authenticator app by a code of it."""
    body = await call.json()
    enrolment_id = call.parameter("factor_id")
    factor = await call.stepup._parts.enrolment.confirm_totp(
        call.requester, enrolment_id, body.get("code"), body.get("name")
    )
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
    if refusal := await _step_up(call, _removal(call.texts, factor)):
        return call.refuse(refusal)
    refusal = await call.stepup.factors.remove(call.requester, factor_id)
    return Response(status_code=204, headers=SAFE_HEADERS) if refusal is None else call.refuse(refusal)
