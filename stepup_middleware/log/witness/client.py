"""The log's side of witnessing: hands each checkpoint to its witnesses and keeps their cosignatures.

A witness may be down, slow, or lie; it can keep a cosignature back, and nothing else. Where it has seen a larger tree
than the log has, or another, that is an alarm: the log's database is then not the one that was signed.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from urllib.parse import urlsplit

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.log.checkpoints import Checkpoint, read_checkpoint, read_decimal
from stepup_middleware.log.keys import VerifierKey, read_verifier_keys, verify_note
from stepup_middleware.log.notes import LARGEST_NOTE, Note, NoteError, NoteSignature, read_note, read_signatures

from .decision import AddCheckpoint

MOST_WITNESSES = 30  # with two signatures each they fit one note
SECONDS = 10.0  # for one call, from the first look-up of the name to the last byte
_CHUNK = 16 * 1024

Prove = Callable[[int], Awaitable[Sequence[bytes]]]


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness of a log.

    ``url`` is its address, like ``https://witness.example/stepup``; ``vkey`` its public key, or several of them, one a
    line. ``keys`` are those, parsed.

    Raises ``ConfigurationError`` for an address or a key that is none.
    """

    url: str
    vkey: str
    keys: tuple[VerifierKey, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        try:
            port_is_one = address.port is None or address.port > 0
        except ValueError:
            port_is_one = False
        plain = not (address.query or address.fragment or address.username or address.password)
        if address.scheme not in ("http", "https") or not address.hostname or not port_is_one or not plain:
            raise ConfigurationError(f"the address of a witness is like https://witness.example, not {self.url!r}")
        if re.search(r"[^!-~]", self.url):
            raise ConfigurationError("the address of a witness has no spaces and ASCII characters alone")
        try:
            keys = read_verifier_keys(self.vkey)
        except NoteError as error:
            raise ConfigurationError(f"the vkey of the witness at {self.url}: {error}") from None
        if len({key.name for key in keys}) != 1:
            raise ConfigurationError(f"the vkeys of the witness at {self.url} have one name")
        object.__setattr__(self, "keys", keys)

    @property
    def name(self) -> str:
        """The name that the witness signs with."""
        return self.keys[0].name

    def cosigned(self, note: Note) -> bool:
        """Whether a note has a cosignature of this witness, with its time, that holds."""
        try:
            return any(signature.at_seconds for signature in verify_note(note, self.keys))
        except NoteError:
            return False


class Outcome(StrEnum):
    """What came of asking one witness."""

    COSIGNED = "it cosigned"
    UNREACHABLE = "it did not answer, or not as a witness does"
    UNKNOWN_LOG = "it does not know this log, or not its key"
    LARGER = "it has cosigned a larger tree than this database has"
    FORK = "it has cosigned another tree than this database has"

    @property
    def is_alarm(self) -> bool:
        """Whether the database is behind, or other than, what was signed: nothing more may be signed over it."""
        return self in (Outcome.LARGER, Outcome.FORK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one witness answered. ``problem`` says more for a person; ``forgot``: it had seen a larger tree before."""

    witness: Witness
    outcome: Outcome
    signatures: tuple[NoteSignature, ...] = ()
    problem: str = ""
    forgot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """A checkpoint with the cosignatures that came in time."""

    note: Note
    answers: tuple[Answer, ...]
    quorum: int

    @property
    def has_quorum(self) -> bool:
        """Whether as many witnesses cosigned as are asked for."""
        return sum(answer.outcome is Outcome.COSIGNED for answer in self.answers) >= self.quorum

    @property
    def alarms(self) -> tuple[Answer, ...]:
        """The answers after which nothing more may be signed."""
        return tuple(answer for answer in self.answers if answer.outcome.is_alarm)


class WitnessClient:
    """Asks one witness. Remembers the size that it cosigned last, so that one call is enough as a rule."""

    def __init__(self, witness: Witness, *, seconds: float = SECONDS) -> None:
        self.witness = witness
        self.size: int = 0
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(2, "stepup-witness")  # its own: one that hangs keeps nothing else waiting
        self._tls = ssl.create_default_context() if witness.url.startswith("https:") else None

    async def cosign(self, note: Note, prove: Prove) -> Answer:
        """Ask for cosignatures. ``prove`` returns the proof from an older size to that of the checkpoint.

        Never raises for what a witness does, ``prove``'s own errors excepted.
        """
        checkpoint = read_checkpoint(note.text)
        forgot = False
        for _ in range(3):  # it may cosign for another of the log's processes in between
            old = min(self.size, checkpoint.size)
            request = AddCheckpoint(old, tuple(await prove(old)) if old else (), note)
            try:
                status, body = await self._call("POST", "/add-checkpoint", str(request).encode())
                if status == 409:
                    size = read_decimal(body.decode().removesuffix("\n"))
                    forgot, self.size = forgot or size < self.size, size
                    if size > checkpoint.size:
                        return self._answer(Outcome.LARGER, f"its tree has {size} leaves, this one {checkpoint.size}")
                    continue
                answer = self._read(status, body, note, forgot=forgot)
            except (OSError, http.client.HTTPException, ValueError) as error:  # a timeout is an OSError
                return self._answer(Outcome.UNREACHABLE, str(error) or type(error).__name__)
            if answer.outcome is Outcome.COSIGNED:
                self.size = checkpoint.size
            return answer
        return self._answer(Outcome.UNREACHABLE, "it names another size each time")

    async def latest(self, log_keys: Sequence[VerifierKey]) -> tuple[Checkpoint, Note] | None:
        """Return the last checkpoint that the witness cosigned for a log, None where it has none.

        Raises ``OSError`` or ``NoteError`` where it does not answer with a checkpoint that both have signed.
        """
        origin = log_keys[0].name
        try:
            status, body = await self._call("GET", f"/{sha256(origin.encode()).hexdigest()}/checkpoint")
        except (OSError, http.client.HTTPException) as error:  # a timeout is an OSError
            raise OSError(f"{self.witness.url}: {error or type(error).__name__}") from error
        if status == 404:
            return None
        if status != 200:
            raise OSError(f"{self.witness.url} answered with status {status}")
        note = read_note(body)
        checkpoint = read_checkpoint(note.text)
        if checkpoint.origin != origin or not verify_note(note, log_keys) or not verify_note(note, self.witness.keys):
            raise NoteError(f"{self.witness.url} has no checkpoint that both the log and the witness signed")
        return checkpoint, note

    def _read(self, status: int, body: bytes, note: Note, *, forgot: bool) -> Answer:
        """Return what an answer means. Raises ``ValueError`` for one that no witness gives."""
        if status == 422:
            return self._answer(Outcome.FORK, _shown(body))
        if status in (403, 404):
            return self._answer(Outcome.UNKNOWN_LOG, _shown(body))
        if status != 200:
            return self._answer(Outcome.UNREACHABLE, f"status {status}: {_shown(body)}")
        lines = read_signatures(body)
        ours = tuple(line for key in self.witness.keys for line in [each for each in lines if key.made(each)][:1])
        verified = verify_note(Note(note.text, ours), self.witness.keys)
        if not any(signature.at_seconds for signature in verified):
            raise NoteError("its answer has no cosignature by a key of this witness")
        return Answer(witness=self.witness, outcome=Outcome.COSIGNED, signatures=ours, forgot=forgot)

    def _answer(self, outcome: Outcome, problem: str) -> Answer:
        return Answer(witness=self.witness, outcome=outcome, problem=problem)

    async def _call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Return the status and the body of an answer, of at most the size of a note. No redirection is followed."""
        address = urlsplit(self.witness.url)
        host = address.hostname or ""
        connection: http.client.HTTPConnection
        if self._tls is None:
            connection = http.client.HTTPConnection(host, address.port, timeout=self._seconds)
        else:
            connection = http.client.HTTPSConnection(host, address.port, timeout=self._seconds, context=self._tls)
        try:
            async with asyncio.timeout(self._seconds):
                loop, full_path = asyncio.get_running_loop(), address.path.rstrip("/") + path
                return await loop.run_in_executor(self._threads, _exchange, connection, method, full_path, body)
        finally:
            _abort(connection)  # a thread that still waits for the witness ends by this


class WitnessGroup:
    """All witnesses of a log. ``quorum`` of them must cosign, or the log says that they did not."""

    def __init__(self, witnesses: Sequence[Witness], *, quorum: int, seconds: float = SECONDS) -> None:
        if len({witness.name for witness in witnesses}) != len(witnesses):
            raise ConfigurationError("two witnesses have one name: each counts once for the quorum")
        if len(witnesses) > MOST_WITNESSES:
            raise ConfigurationError(f"a log has at most {MOST_WITNESSES} witnesses")
        if not 0 <= quorum <= len(witnesses):
            raise ConfigurationError(f"a quorum of {quorum} cannot be had of {len(witnesses)} witnesses")
        self.quorum = quorum
        self.clients: tuple[WitnessClient, ...] = tuple(
            WitnessClient(witness, seconds=seconds) for witness in witnesses
        )

    async def cosign(self, note: Note, prove: Prove) -> Witnessed:
        """Ask all witnesses at the same time, and return the checkpoint with their cosignatures."""
        answers = await asyncio.gather(*(client.cosign(note, prove) for client in self.clients))
        cosigned = note.signed_also(line for answer in answers for line in answer.signatures)
        return Witnessed(note=cosigned, answers=tuple(answers), quorum=self.quorum)

    def with_those_of(self, note: Note, before: Note) -> Note:
        """Return a note with the cosignatures that another one of its text has of witnesses that did not cosign it."""
        away = [client.witness for client in self.clients if not client.witness.cosigned(note)]
        keys = [key for witness in away if witness.cosigned(before) for key in witness.keys]
        return note.signed_also(line for line in before.signatures if any(key.made(line) for key in keys))

    def cosigned(self, note: Note) -> int:
        """Return how many of the witnesses have cosigned a note."""
        return sum(client.witness.cosigned(note) for client in self.clients)


def _exchange(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    """Make one call. In a thread: it blocks."""
    headers = {} if body is None else {"Content-Type": "text/plain; charset=utf-8"}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    received = bytearray()
    while chunk := response.read(_CHUNK):
        received += chunk
        if len(received) > LARGEST_NOTE:
            raise OSError(f"its answer has more than {LARGEST_NOTE} bytes")
    return response.status, bytes(received)


def _abort(connection: http.client.HTTPConnection) -> None:
    opened: socket.socket | None = connection.sock
    if opened is not None:
        with suppress(OSError):  # the other side was faster
            opened.shutdown(socket.SHUT_RDWR)
    connection.close()


def _shown(body: bytes) -> str:
    """Return the beginning of what a stranger answered, for a log: printable, and short."""
    text = body[:200].decode("utf-8", "replace").strip()
    return "".join(character if character.isprintable() else " " for character in text)
