"""``StepUpAuth``: httpx asks the person behind the program when a route wants a proof, and repeats the request."""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from inspect import GEN_CLOSED, getgeneratorstate
from time import sleep

import httpx
from anyio import CancelScope, Event, RunFinishedError, from_thread
from anyio import sleep as sleep_async
from anyio.lowlevel import current_token

from stepup_middleware.errors import ConfigurationError

from .proving import Ask, Call, Pause, Proving, Step, prove
from .questions import Question, StepUpNotAsked, StepUpNotRepeatable, asks_for_proof, origin_of, question_of
from .screen import Screen, TerminalScreen, abandoned

MOST_READ = 32 * 1024 * 1024  # bytes of a body that is kept to be sent again, as many as a route binds by default
# what a request says of itself; all else, such as Authorization and cookies, says who sends it
_OF_THE_REQUEST = re.compile(
    r"(?:content|if|stepup)-|(?:accept|expect|prefer|range|te|trailer|transfer-encoding)$", re.I
)


class StepUpAuth(httpx.Auth):
    """Asks for a proof where a route of ``server`` wants one, then sends the request again, once, with its token.

    ``server`` is the origin that is answered to (``https://api.example.com``), never another one. The person is asked
    on ``screen``: for a code of their authenticator app where there is a terminal, else they approve the request in a
    browser. The library's calls carry the headers of the request (its ``Authorization``, its cookies) and go through
    ``client``, or ``async_client`` in an ``httpx.AsyncClient``: give these where calls need a proxy or a certificate of
    their own. Where redirects led to the route, what came there is sent again: the hops before may have acted.

    A body with a length of up to 32 MiB is kept to be sent again; after any other stream ``StepUpNotRepeatable`` is
    raised, before anybody is asked. Raises ``StepUpDenied``, ``StepUpTimedOut`` and ``StepUpNotAsked``, all of them
    ``StepUpNotProved``: then the action has not run. An interruption takes the request back.

    Raises ``ConfigurationError`` for a server that is no origin.
    """

    def __init__(
        self,
        server: str,
        *,
        screen: Screen | None = None,
        client: httpx.Client | None = None,
        async_client: httpx.AsyncClient | None = None,
    ) -> None:
        url = httpx.URL(server)
        if (
            url.scheme not in {"http", "https"}
            or not url.host
            or url.path not in {"", "/"}
            or url.query
            or url.fragment
        ):
            raise ConfigurationError(f"server is an origin such as https://api.example.com: {server!r}")
        self._origin = origin_of(url)
        self._screen = screen or TerminalScreen()
        self._client = client
        self._async_client = async_client
        self._asked: set[str] = set()  # the prompts that are being answered
        self._asking = threading.Lock()

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request of ``httpx.Client``, and once more if a proof was wanted and given."""
        if self._keeps(request):
            request.read()
        response = yield request
        if asks_for_proof(response) and origin_of(request.url) == self._origin:
            response.read()
            refused = response.request  # where redirects led
            if self._keeps(refused):
                refused.read()
            if (question := self._question(refused, response)) is not None:
                refused.headers["StepUp-Token"] = self._prove(refused, question)
                yield refused

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send a request of ``httpx.AsyncClient``, and once more if a proof was wanted and given."""
        if self._keeps(request):
            await request.aread()
        response = yield request
        if asks_for_proof(response) and origin_of(request.url) == self._origin:
            await response.aread()
            refused = response.request
            if self._keeps(refused):
                await refused.aread()
            if (question := self._question(refused, response)) is not None:
                refused.headers["StepUp-Token"] = await self._prove_async(refused, question)
                yield refused

    def _keeps(self, request: httpx.Request) -> bool:
        """Whether a body is read before it is sent, so that it can be sent twice."""
        length = request.headers.get("content-length", "")
        return origin_of(request.url) == self._origin and length.isdecimal() and int(length) <= MOST_READ

    def _question(self, request: httpx.Request, response: httpx.Response) -> Question | None:
        """Return what is asked, None where it is not answered. Raises ``StepUpNotRepeatable``."""
        if origin_of(request.url) != self._origin:
            return None
        question = question_of(response)
        if question is None:
            return None
        try:
            request.content  # noqa: B018 - raises if it has not been read
        except httpx.RequestNotRead:
            raise StepUpNotRepeatable(
                "This route wants a proof, and then the same request again: give its body as bytes or as a file of at "
                f"most {MOST_READ >> 20} MiB (content=, json=, files=), for a stream cannot be sent twice.",
                question.problem,
            ) from None
        return question

    @contextmanager
    def _alone(self, question: Question) -> Iterator[None]:
        """Answer a prompt once: the same request of a session is asked about once, and one proof runs one of them."""
        with self._asking:
            if question.address in self._asked:
                raise StepUpNotAsked(
                    "The same request waits for a proof already, which is for that one alone: this one has not run. "
                    "Send it once more when that one has its answer, if it is to run twice.",
                    question.problem,
                )
            self._asked.add(question.address)
        try:
            yield
        finally:
            self._asked.discard(question.address)

    # the same steps, taken by blocking or by awaiting

    def _prove(self, request: httpx.Request, question: Question) -> str:
        with self._alone(question), ExitStack() as opened:
            client = self._client or opened.enter_context(httpx.Client())
            walk = _Walk(prove(question, self._screen))
            try:
                return walk.through(client, request)
            except BaseException as error:
                if walk.ended:
                    raise
                walk.failed = error  # an interruption between two steps
                return walk.through(client, request)

    async def _prove_async(self, request: httpx.Request, question: Question) -> str:
        with self._alone(question):
            return await self._walk_async(request, question)

    async def _walk_async(self, request: httpx.Request, question: Question) -> str:
        async with AsyncExitStack() as opened:
            client = self._async_client
            if client is None:
                client = await opened.enter_async_context(httpx.AsyncClient())
            walk = _Walk(prove(question, self._screen))
            with CancelScope() as scope:
                while (step := walk.step()) is not None:
                    try:
                        walk.done = await _take_async(client, request, step)
                    except BaseException as error:
                        walk.failed = error
                        scope.shield = True  # what takes the request back is not cancelled with it
            return walk.token


class _Walk:
    """Where a generator of steps stands: what came of the last one, and the token in the end."""

    def __init__(self, proving: Proving) -> None:
        self._proving = proving
        self.done: object = None
        self.failed: BaseException | None = None
        self.token = ""

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, by the token or by an exception."""
        return getgeneratorstate(self._proving) == GEN_CLOSED

    def through(self, client: httpx.Client, request: httpx.Request) -> str:
        """Take every step, and return the token."""
        while (step := self.step()) is not None:
            try:
                self.done = _take(client, request, step)
            except BaseException as error:
                self.failed = error
        return self.token

    def step(self) -> Step | None:
        """Return the next step, None once the token is there."""
        done, failed, self.done, self.failed = self.done, self.failed, None, None
        try:
            return self._proving.send(done) if failed is None else self._proving.throw(failed)
        except StopIteration as end:
            self.token = end.value
            return None


def _take(client: httpx.Client, request: httpx.Request, step: Step) -> object:
    if isinstance(step, Pause):
        sleep(step.seconds)
        return None
    if isinstance(step, Ask):
        return step.do()
    try:
        return client.send(_call(request, step), auth=None, follow_redirects=False)
    except httpx.TransportError as error:
        return error


async def _take_async(client: httpx.AsyncClient, request: httpx.Request, step: Step) -> object:
    if isinstance(step, Pause):
        await sleep_async(step.seconds)
        return None
    if isinstance(step, Ask):
        return await _in_thread(step.do)
    try:
        return await client.send(_call(request, step), auth=None, follow_redirects=False)
    except httpx.TransportError as error:
        return error


async def _in_thread(do: Callable[[], object]) -> object:
    """Return what a function that blocks returns. Its thread is not waited for, but told that nobody does."""
    ended, loop, over = Event(), current_token(), threading.Event()
    outcome: list[object] = []

    def run() -> None:
        abandoned.set(over)
        try:
            outcome.append(do())
        except Exception as error:
            outcome.append(error)
        with suppress(RunFinishedError):
            from_thread.run_sync(ended.set, token=loop)

    threading.Thread(target=run, daemon=True, name="step-up question").start()
    try:
        await ended.wait()
    finally:
        over.set()
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _call(request: httpx.Request, call: Call) -> httpx.Request:
    """Return a call of the library, with the credentials of the request that was refused."""
    headers = [(name, value) for name, value in request.headers.multi_items() if not _OF_THE_REQUEST.match(name)]
    return httpx.Request(
        call.method,
        call.address,
        headers=[*headers, ("Accept", "application/json"), *call.headers.items()],
        json=call.body,
        extensions={"timeout": httpx.Timeout(call.seconds).as_dict()},
    )
