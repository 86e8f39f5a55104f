"""Tools that are tagged, and what an agent is told: in the words of the protocol that it speaks."""

from __future__ import annotations

import functools
import inspect
from asyncio import Task, create_task
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

import rfc8785
from anyio import to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.utilities.context_injection import find_context_parameter
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestURLParams, InputRequiredResult

from stepup_middleware.core.binding import check_details
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.refusals import Refusal, StepUpRequired
from stepup_middleware.core.texts import Text, marked
from stepup_middleware.core.visible import visible
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.frameworks.entries import TOOL_ATTRIBUTE
from stepup_middleware.gate import hold_to
from stepup_middleware.languages import Texts
from stepup_middleware.request.context import guarded_request, logger
from stepup_middleware.service.approvals import APPROVAL_SECONDS
from stepup_middleware.tags import tagged_with
from stepup_middleware.web.pages import texts_of

Arguments = Mapping[str, Any]
Details = Sequence[tuple[str, str]]
DetailsOfCall = Details | Callable[[Arguments], Details | Awaitable[Details]] | None
Tool = TypeVar("Tool", bound=Callable[..., Any])

URL_ELICITATION_REQUIRED = -32042  # MCP 2025-11-25, client/elicitation
WAIT_SECONDS = 25  # of one call: a client calls a few times before it gives up
INPUT_REQUIRED_SINCE = "2026-07-28"
_KEY = "step_up"
_APPROVE = marked(
    "This has not been done. Only you can approve it: open %(link)s and type the digits %(digits)s there. Then have "
    "the same done again."
)
_YOURSELF = marked(
    "This has not been done, and it cannot be approved for a program. Only you can do it: in the app, signed in there "
    "in your browser."
)
_NO_REQUEST = (
    "This tool needs a proof of its person, who is known by an HTTP request. Over stdio there is none: serve the MCP "
    "server over HTTP, behind StepUpMiddleware."
)
_NO_CALL = "A proof is asked for a call of a tool alone, and this is none. Nothing was let through."
_TWICE = (
    "This tool asks for a second approval in one call. None can be given, for its next call begins with the first one. "
    "What it did before it asked is done. Do not call it again; tell who runs this server."
)
_waiting: set[Task[None]] = set()  # a task that nobody holds may vanish


class ToolStepUpRequired(MCPError):
    """A tool was not run, for its person is asked first. ``problem`` is the refusal (RFC 9457), as on any other route.

    As an error of JSON-RPC it is MCP 2025-11-25's *URL elicitation required*.
    """

    def __init__(self, problem: Mapping[str, Any], elicitation: ElicitRequestURLParams) -> None:
        asked = elicitation.model_dump(by_alias=True, exclude_none=True)
        super().__init__(code=URL_ELICITATION_REQUIRED, message=elicitation.message, data={"elicitations": [asked]})
        self.problem = problem
        self.elicitation = elicitation


async def require_step_up_tool(ctx: Context[Any, Any], purpose: str, *, details: DetailsOfCall = None) -> Proof:
    """Go on only with a redeemed proof for this call of a tool: its name and arguments are what the person approves.

    ``details`` are label and value pairs, or a callable of the arguments that returns them; without it, the tool and
    each of its arguments. The proof is bound to name and arguments (RFC 8785), to the session and to the client. The
    agent never holds a token: it calls again once the person has approved, and what was approved runs once.

    Raises ``ToolStepUpRequired`` until then, and ``ToolError`` where the agent can only be told why not. Let both pass.
    """
    context = ctx.request_context
    if context.request is None:
        raise ToolError(_NO_REQUEST)
    if context.method != "tools/call" or context.params is None:
        raise ToolError(_NO_CALL)
    name, arguments = str(context.params["name"]), dict(context.params.get("arguments") or {})
    if guarded_request(cast(Any, context.request).scope).proof is not None:
        logger.error("the tool %s asks for a second proof in one call, which no call of it can have", name)
        raise ToolError(_TWICE)
    await _need_known(ctx, name, arguments)
    try:
        body = rfc8785.dumps({"tool": name, "arguments": arguments})
    except rfc8785.CanonicalizationError as error:
        raise ToolError(
            f"What is approved must be written in one way only, and these arguments cannot: {error}"
        ) from None
    if ctx.request_state and ctx.input_responses:
        await _until_decided(context, ctx.request_state)
    tag = tagged_with(purpose, await _shown(details, name, arguments), True, ())
    try:
        return await hold_to(context.request, tag, body)
    except StepUpRequired as refused:
        raise _refusal(ctx, refused.problem) from None


async def _need_known(ctx: Context[Any, Any], name: str, arguments: Arguments) -> None:
    """Refuse arguments that the tool does not take: the SDK drops them, so the person would approve what is not."""
    schema = next((tool.input_schema for tool in await ctx.mcp_server.list_tools() if tool.name == name), {})
    known = schema.get("properties", {})
    if unknown := [key for key in arguments if key not in known]:
        raise ToolError(
            f"{name} takes {', '.join(known) or 'no arguments'}, and not {', '.join(map(visible, unknown))}. Nothing "
            "was done: call it again without what it does not take."
        )


async def _shown(details: DetailsOfCall, name: str, arguments: Arguments) -> Details:
    if details is None:
        try:
            return check_details([("Tool", name), *((key, _text(value)) for key, value in arguments.items())])
        except TypeError as error:
            raise ToolError(
                f"The person who approves is shown each argument, and of these not all can be: {error}. Nothing was "
                "done."
            ) from None
    if not callable(details):
        return details
    made = details(arguments)
    return await made if inspect.isawaitable(made) else made


def _text(value: Any) -> str:
    return value if isinstance(value, str) else rfc8785.dumps(value).decode()


def _refusal(ctx: Context[Any, Any], problem: Mapping[str, Any]) -> Exception:
    """Return what tells the agent: in its protocol's way where it can open a link for its person, else in words."""
    scope = cast(Any, ctx.request_context.request).scope
    words = words_of(problem, texts_of(scope, guarded_request(scope).stepup))
    approval = problem.get("approval")
    capabilities = ctx.client_capabilities
    opens = (
        capabilities is not None and capabilities.elicitation is not None and capabilities.elicitation.url is not None
    )
    if approval is None or not opens:
        return ToolError(words)
    asked = ElicitRequestURLParams(message=words, url=approval["url"], elicitation_id=problem["prompt"]["id"])
    if (ctx.protocol_version or "") < INPUT_REQUIRED_SINCE:
        _tell_when_decided(ctx.request_context, problem["prompt"]["id"])
    return ToolStepUpRequired(problem, asked)


def words_of(problem: Mapping[str, Any], texts: Texts) -> str:
    """Return a refusal in words that a model hands on to its person as they are."""
    approval = problem.get("approval")
    refused = problem.get("approval_refused")
    if refused or "prompt" not in problem:
        return str((refused or problem).get("detail") or problem.get("title"))
    purpose = problem["purpose"]
    lines = [f"{purpose['authorize_title']}: {purpose['consequence']}"]
    lines += [f"- {visible(label)}: {visible(value)}" for label, value in problem.get("details", [])]
    said = Text(_YOURSELF, {})
    if approval is not None:
        said = Text(_APPROVE, {"link": approval["url"], "digits": approval["match"]})
    return "\n".join([*lines, texts(said)])


async def _until_decided(context: ServerRequestContext[Any, Any], prompt_id: str) -> None:
    """Wait for the person, whose client has just opened the link and calls again at once (MCP 2026-07-28)."""
    await _decided(context, prompt_id, WAIT_SECONDS)


async def _decided(context: ServerRequestContext[Any, Any], prompt_id: str, seconds: float = APPROVAL_SECONDS) -> None:
    scope = cast(Any, context.request).scope
    stepup = guarded_request(scope).stepup
    requester = await stepup._parts.identification.identify_request(scope)
    if not isinstance(requester, Refusal):
        await stepup._parts.approvals.decided(requester.subject, prompt_id, now=stepup._clock, seconds=seconds)


def _tell_when_decided(context: ServerRequestContext[Any, Any], prompt_id: str) -> None:
    """Tell the client once the person has decided, where its session has a way back (MCP 2025-11-25)."""

    async def tell() -> None:
        with suppress(Exception):  # the session is over: the agent calls again by itself
            await _decided(context, prompt_id)
            await context.session.send_elicit_complete(prompt_id)

    task = create_task(tell())
    _waiting.add(task)
    task.add_done_callback(_waiting.discard)


def requires_step_up(purpose: str, *, details: DetailsOfCall = None) -> Callable[[Tool], Tool]:
    """Tag a tool: it runs only with a redeemed proof for the very call. Put it below ``@server.tool()``.

    ``details`` as in ``require_step_up_tool``. The tool may be sync, and need not take a ``Context``.
    """
    if not isinstance(purpose, str) or not purpose:
        raise ConfigurationError(f'a purpose is named by its id, such as "audit_log_export", and not {purpose!r}')

    def tag(tool: Tool) -> Tool:
        signature = inspect.signature(tool, eval_str=True)
        own = find_context_parameter(tool)
        where = own or "step_up_context"

        @functools.wraps(tool)
        async def guarded(**arguments: Any) -> Any:
            ctx = arguments[where] if own else arguments.pop(where)
            try:
                await require_step_up_tool(ctx, purpose, details=details)
            except ToolStepUpRequired as refused:
                if (answer := _input_required(ctx.protocol_version, refused)) is not None:
                    return answer
                raise
            with _noting_end(ctx):
                if inspect.iscoroutinefunction(tool):
                    return await tool(**arguments)
                return await to_thread.run_sync(functools.partial(tool, **arguments))

        parameters = list(signature.parameters.values())
        if not own:
            parameters.append(inspect.Parameter(where, inspect.Parameter.KEYWORD_ONLY, annotation=Context))
        guarded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        guarded.__annotations__ = {each.name: each.annotation for each in parameters} | {
            "return": signature.return_annotation
        }
        setattr(guarded, TOOL_ATTRIBUTE, purpose)
        return cast(Tool, guarded)

    return tag


@contextmanager
def _noting_end(ctx: Context[Any, Any]) -> Iterator[None]:
    """Log how what runs inside ends: the answer of HTTP does not say it, and a client may leave before."""
    guarded = guarded_request(cast(Any, ctx.request_context.request).scope)
    guarded.apart, outcome = True, dict[str, object](status=None, outcome="aborted")
    try:
        yield
        outcome["outcome"] = "returned"
    except Exception as error:
        outcome |= {"outcome": "raised", "exception": type(error).__name__}
        raise
    finally:
        guarded.completed(outcome)


def _input_required(protocol_version: str | None, refused: ToolStepUpRequired) -> InputRequiredResult | None:
    """Return the answer of MCP 2026-07-28 that asks the client to open a link and call again; None before it."""
    if (protocol_version or "") < INPUT_REQUIRED_SINCE:
        return None
    asked = ElicitRequest(params=refused.elicitation)
    return InputRequiredResult(input_requests={_KEY: asked}, request_state=refused.elicitation.elicitation_id)


async def answer_step_up(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Answer a refusal that a tool's own ``require_step_up_tool`` raised, for clients that speak MCP 2026-07-28.

    It is a middleware of the server: ``MCPServer(..., middleware=[answer_step_up])``. Tools with the tag do without it.
    """
    try:
        return await call_next(ctx)
    except ToolStepUpRequired as refused:
        if (answer := _input_required(ctx.protocol_version, refused)) is not None:
            return answer
        raise
