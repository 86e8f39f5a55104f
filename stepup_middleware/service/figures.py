"""What an app is counted and timed by: one place that the library tells, and the meters of the app behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic, perf_counter
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.refusals import RefusalCode
from stepup_middleware.errors import StoreError, StoreTimeoutError
from stepup_middleware.logged import get_logger

from .health import Health

logger = get_logger("stepup_middleware")

_WRITTEN = ("ok", "STEPUP_REQUIRED")  # an action was authorized, or asked for: both are durable before the answer
REFUSED_SECONDS = 20.0  # longer than the gauges wait, so that they meet it
LOOK_SECONDS = 10.0  # how often the gauges are read


@runtime_checkable
class Meter(Protocol):
    """Hands figures to a system that watches the app. Every method is called on the event loop and returns at once."""

    def event(self, event: AuditEvent) -> None:
        """Count an audit event that this process has written."""

    def refusal(self, code: str, purpose: str) -> None:
        """Count an answer that let nothing run, by its code, such as ``STEPUP_REQUIRED``. ``purpose`` may be empty."""

    def step(self, name: str, seconds: float, purpose: str, outcome: str) -> None:
        """Note how long a step of a step-up took, in the task of its request.

        ``name`` is ``ask``, ``redeem``, or that of a call of the library's own, such as ``webauthn_finish``;
        ``outcome`` the code of a refusal, or ``ok``.
        """

    def store_error(self, kind: str) -> None:
        """Count a request that was refused because of the store: ``late`` or ``unusable``."""

    def health(self, health: Health) -> None:
        """Take over how the installation is, every ten seconds."""


class Timed:
    """A step that is being timed, and how it ends.

    Also one for which the store failed or was too late is told, or the slowest would be left out.
    """

    __slots__ = ("_began", "_figures", "_name", "_purpose", "outcome")

    def __init__(self, figures: Figures, name: str, purpose: str) -> None:
        self._figures = figures
        self._name = name
        self._purpose = purpose
        self.outcome = "ok"

    def __enter__(self) -> Self:
        self._began = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, StoreError | TimeoutError):
            self.outcome = RefusalCode.UNAVAILABLE.value
        elif error is not None:
            return
        seconds = perf_counter() - self._began
        self._figures.step(self._name, seconds, purpose=self._purpose, outcome=self.outcome)


class Requests:
    """What became of the requests that had something to write: the probe may fit where they do not, as on a full disk.

    A refusal for want of the store counts until a request is served, and for at most ``REFUSED_SECONDS``.
    """

    def __init__(self) -> None:
        self._why = ""
        self._at = 0.0

    def refused(self, error: Exception) -> None:
        """Note that one was refused for want of the store."""
        self._why, self._at = str(error) or "the store does not answer in time", monotonic()

    def served(self) -> None:
        """Note that one was written, durably."""
        self._why = ""

    @property
    def fault(self) -> str:
        """Why the last one was refused, empty where none was."""
        return self._why if monotonic() - self._at < REFUSED_SECONDS else ""


class Figures:
    """Hands each figure to every meter. A meter that fails disturbs nothing but itself.

    ``requests`` is told which requests the store refused, and that it served one.
    """

    def __init__(self, meters: Sequence[Meter], look: Callable[[], Awaitable[Health]], requests: Requests) -> None:
        self._meters = tuple(meters)
        self._look = look
        self._requests = requests
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start reading the gauges, on the running loop."""
        if self._meters and self._task is None:
            self._task = asyncio.create_task(self._serve(), name="stepup-figures")

    async def close(self) -> None:
        """Stop."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def written(self, events: Sequence[tuple[int, AuditEvent]]) -> None:
        """Count what was written. Never raises."""
        for _, event in events:
            self._each(lambda meter, event=event: meter.event(event))  # type: ignore[misc]

    def refusal(self, code: str, purpose: str = "") -> None:
        """Count a refusal. Never raises."""
        self._each(lambda meter: meter.refusal(code, purpose))

    def step(self, name: str, seconds: float, *, purpose: str = "", outcome: str = "ok") -> None:
        """Note the duration of a step. Never raises."""
        if outcome in _WRITTEN and name in ("ask", "redeem"):
            self._requests.served()
        self._each(lambda meter: meter.step(name, seconds, purpose, outcome))

    def timed(self, name: str, purpose: str = "") -> Timed:
        """Time a step, for as long as what is returned is entered."""
        return Timed(self, name, purpose)

    def store_error(self, error: Exception) -> None:
        """Count a refusal for want of the store. Never raises."""
        self._requests.refused(error)
        kind = "late" if isinstance(error, TimeoutError | StoreTimeoutError) else "unusable"
        self._each(lambda meter: meter.store_error(kind))

    def _each(self, tell: Callable[[Meter], None]) -> None:
        for meter in self._meters:
            try:
                tell(meter)
            except Exception as error:
                logger.error("%s could not count: %r", type(meter).__name__, error)

    async def _serve(self) -> None:
        while True:
            found = await self._look()
            self._each(lambda meter: meter.health(found))  # noqa: B023 - called before the next turn
            await asyncio.sleep(LOOK_SECONDS)
