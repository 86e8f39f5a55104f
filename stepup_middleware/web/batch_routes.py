"""The routes of several prompts that a person answers as one question."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from stepup_middleware.core.batches import MOST_PROMPTS
from stepup_middleware.core.binding import Details
from stepup_middleware.core.moments import iso
from stepup_middleware.core.prompts import Prompt
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.service.batches import BatchQuestion, BatchTokens

from .answers import SAFE_HEADERS, purpose_view
from .call import ID_LENGTH, BadRequest, Call, wanted_kind
from .pages import prompt_url, prompt_view, render


async def ask_together(call: Call) -> Response:
    """Make one question of prompts: the modal's fragment for stepup.js, or JSON."""
    body = await call.json()
    question = await call.stepup._parts.ceremonies.question(call.requester, _prompts(body))
    if isinstance(question, Refusal):
        return call.refuse(question)
    if call.request.headers.get("hx-request") is None:
        return call.json_response(_question(call, question))
    first = question.prompts[0]
    texts = await call.stepup.languages.ready(first.locale)
    view = prompt_view(first, question.purpose, call.base, texts, kinds=question.kinds)
    view |= {"url": f"{call.base}/batches", "expires_at": iso(question.expires_at)}
    batch = {
        "requests": [{"id": prompt.id, "details": _shown(prompt)} for prompt in question.prompts],
        "left_out": len(question.left_out),
        "total": question.total,
    }
    response = call.html_response(render("modal.html", call.stepup, call.base, texts, prompt=view, batch=batch))
    response.headers["StepUp-Prompt"] = view["url"]  # stepup.js accepts only a fragment that names itself here
    return response


async def cancel_together(call: Call) -> Response:
    """The person says no to these, or leaves them out of a question."""
    await call.stepup._parts.ceremonies.cancel_all(call.requester, _prompts(await call.json()))
    return Response(status_code=204, headers=SAFE_HEADERS)


async def key_options_together(call: Call) -> Response:
    """Begin an authentication ceremony over exactly these prompts."""
    body = await call.json()
    options = await call.stepup._parts.ceremonies.begin_webauthn_for_all(
        call.requester, _prompts(body), wanted_kind(body)
    )
    return call.refuse(options) if isinstance(options, Refusal) else call.json_response(options)


async def key_together(call: Call) -> Response:
    """Finish an authentication ceremony over exactly these prompts."""
    body = await call.json()
    response = body.get("credential")
    return _confirmed(
        call, await call.stepup._parts.ceremonies.finish_webauthn_for_all(call.requester, _prompts(body), response)
    )


async def code_together(call: Call) -> Response:
    """Take a one-time password for exactly these prompts."""
    body = await call.json()
    code = body.get("code")
    return _confirmed(
        call, await call.stepup._parts.ceremonies.finish_totp_for_all(call.requester, _prompts(body), code)
    )


def _prompts(body: dict[str, Any]) -> list[str]:
    """Return the ids that a call names: 1 to 50, each once. Raises ``BadRequest``."""
    ids = body.get("prompts")
    if not isinstance(ids, list) or not 0 < len(ids) <= MOST_PROMPTS:
        raise BadRequest
    if not all(isinstance(each, str) and 0 < len(each) <= ID_LENGTH and each.isascii() for each in ids):
        raise BadRequest
    if len(set(ids)) != len(ids):
        raise BadRequest
    return ids


def _shown(prompt: Prompt) -> Details:
    """Return what a person knows a request by: the details that the app gives, or what it asks for."""
    return prompt.details or ((prompt.request.method, prompt.request.path),)


def _question(call: Call, question: BatchQuestion) -> dict[str, Any]:
    return {
        "purpose": purpose_view(question.purpose, call.texts),
        "requirement": question.prompts[0].requirement.value,
        "factors": [kind.value for kind in question.prompts[0].requirement.kinds()],
        "enrolled_factors": [kind.value for kind in question.kinds],
        "prompts": [
            {
                "id": prompt.id,
                "url": prompt_url(call.base, prompt),
                "details": [list(pair) for pair in prompt.details],
                "expires_at": iso(prompt.expires_at),
            }
            for prompt in question.prompts
        ],
        "total": None if question.total is None else list(question.total),
        "expires_at": iso(question.expires_at),
        "left_out": _left_out(call, question.left_out),
    }


def _confirmed(call: Call, issued: BatchTokens | Refusal) -> Response:
    if isinstance(issued, Refusal):
        return call.refuse(issued)
    tokens = [
        {"prompt": each.prompt.id, "token": each.token, "expires_at": iso(each.expires_at)} for each in issued.tokens
    ]
    return call.json_response({"tokens": tokens, "left_out": _left_out(call, issued.left_out)})


def _left_out(call: Call, ids: tuple[str, ...]) -> list[dict[str, str]]:
    code = RefusalCode.PROMPT_NOT_FOUND
    return [{"prompt": id_, "code": code.value, "detail": call.texts(code.detail)} for id_ in ids]
