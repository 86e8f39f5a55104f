"""Clients that send a request exactly as it is written, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from .wire import Header, Wire

SECONDS = 30.0  # for an answer; the machine may be busy


class NoAnswer(Exception):
    """The server closed the connection, or never answered: it did not take the request."""


@dataclass(slots=True)
class Answer:
    """An answer. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    pieces: bytearray = field(default_factory=bytearray)


class Http1:
    """A connection over HTTP/1.1 that is opened again where the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, wire: Wire, extra: list[Header]) -> Answer:
        """Send a request with further header lines; raises ``NoAnswer``."""
        body = wire.body
        head = [wire.method + b" " + wire.target + b" HTTP/1.1"]
        head += [name + b": " + value for name, value in (*extra, *wire.lines(body))]
        try:
            async with asyncio.timeout(SECONDS):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._streams
                pieces = list(wire.chunks())
                if wire.framing == b"chunked":
                    pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b"" for piece in pieces]
                    after = b"".join(name + b": " + value + b"\r\n" for name, value in wire.trailers)
                    pieces[-1] += b"0\r\n" + after + b"\r\n"
                pieces[0] = b"\r\n".join(head) + b"\r\n\r\n" + pieces[0]
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(0)  # so that they go out in pieces
                answer = await self._answer(reader)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            await self.close()
            raise NoAnswer(type(error).__name__) from None
        if answer.headers.get("connection", "").lower() == "close":
            await self.close()
        return answer

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        lines = [line.partition(":") for line in head[1:] if line]
        answer = Answer(int(head[0].split(" ")[1]), {name.lower(): value.strip() for name, _, value in lines})
        if "chunked" in answer.headers.get("transfer-encoding", ""):
            while size := int(await reader.readuntil(b"\r\n"), 16):
                answer.pieces += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
            answer.body = bytes(answer.pieces)
        elif "content-length" in answer.headers:
            answer.body = await reader.readexactly(int(answer.headers["content-length"]))
        elif answer.status not in (204, 304):
            answer.body = await reader.read()
            await self.close()
        return answer

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Http2:
    """A connection over HTTP/2 without TLS, one stream at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._connection: h2.connection.H2Connection | None = None

    async def send(self, wire: Wire, extra: list[Header]) -> Answer:
        """Send a request with further header lines; raises ``NoAnswer``."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._exchange(wire, extra)
        except (OSError, TimeoutError, h2.exceptions.H2Error) as error:
            await self.close()
            raise NoAnswer(type(error).__name__) from None

    async def _exchange(self, wire: Wire, extra: list[Header]) -> Answer:
        if self._streams is None or self._connection is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            self._connection = h2.connection.H2Connection(
                h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
            )
            self._connection.initiate_connection()
        reader, writer = self._streams
        connection = self._connection
        body, lines = wire.body, wire.lines(wire.body)
        authority = [value for name, value in lines if name == b"host"][:1]
        pseudo = [(b":method", wire.method), (b":scheme", b"http"), (b":path", wire.target)]
        pseudo += [(b":authority", value) for value in authority]
        rest = [line for line in lines if line[0] != b"host"]
        rest += [line for line in lines if line[0] == b"host"][1:]
        stream = connection.get_next_available_stream_id()
        connection.send_headers(stream, [*pseudo, *extra, *rest], end_stream=not body)
        if body:
            for chunk in wire.chunks():
                connection.send_data(stream, chunk)
            connection.end_stream(stream)
        answer: Answer | None = None
        while True:
            writer.write(connection.data_to_send())
            await writer.drain()
            if not (data := await reader.read(65536)):
                raise ConnectionError
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    found = [(_text(name), _text(value)) for name, value in event.headers]
                    answer = Answer(int(dict(found)[":status"]), dict(found))
                elif isinstance(event, h2.events.DataReceived) and answer is not None:
                    answer.pieces += event.data or b""
                    connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or stream)
                elif isinstance(event, h2.events.StreamEnded) and answer is not None:
                    answer.body = bytes(answer.pieces)
                    writer.write(connection.data_to_send())
                    return answer
                elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    raise ConnectionError

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = self._connection = None


def _text(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
