"""The connections over which a load goes by HTTP: requests are bytes made before, answers are read in C.

A general client costs 0.1 to 0.2 ms of processor time for each request, ten times as much as this. At
thousands of requests a second that would be the bottleneck, and would be measured as the server's latency.
Redirects are not followed, cookies not kept, and nothing is sent twice.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from stages.servers.interface import Target

if TYPE_CHECKING:
    import httptools

# Below the 2 s and more after which common servers close an idle connection: a request that meets the closing
# fails, and counts as an error of the server.
IDLE_S = 1.0
LARGEST_HEAD_BYTES = 2**20
LARGEST_ANSWER_BYTES = 2**28
KEPT = "/?&=%:;,@!$'()*+~"  # a path may come with its query, and quoted already
BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered."""

    status: int
    headers: Mapping[bytes, bytes]
    """By their names in lower case."""
    body: bytes
    at: float
    """When its last byte had come (time.perf_counter)."""


class Connections:
    """All connections to one server; more are opened when none is free."""

    def __init__(self, target: Target, largest_bytes: int = LARGEST_ANSWER_BYTES) -> None:
        self._target = target
        self._largest_bytes = largest_bytes
        self._open: set[_Connection] = set()
        self._idle: list[_Connection] = []

    def request(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Return a request as it is sent."""
        lines = [
            f"{method} {quote(path, safe=KEPT)} HTTP/1.1",
            f"Host: {self._target.authority}",
            "Accept: */*",
        ]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method not in BODILESS:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join((*lines, "\r\n")).encode() + body

    async def send(self, request: bytes) -> Response:
        """Return the answer; time limits are the caller's.

        Raises:
            OSError: the server cannot be reached, closed the connection too soon, or does not speak HTTP.
        """
        connection = self._free() or await self._connect()
        try:
            response = await connection.exchange(request)
        except BaseException:  # also when the caller's time is over: the answer may come yet
            self._drop(connection)
            raise
        if connection.reusable:
            self._idle.append(connection)
        else:
            self._drop(connection)
        return response

    def close(self) -> None:
        """Close every connection."""
        for connection in tuple(self._open):
            self._drop(connection)

    def _free(self) -> "_Connection | None":
        oldest = time.perf_counter() - IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.used_at > oldest:
                return connection
            self._drop(connection)
        return None

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        made = partial(_Connection, self._largest_bytes)
        _, connection = await loop.create_connection(made, self._target.host, self._target.port)
        self._open.add(connection)
        return connection

    def _drop(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        connection.close()


@asynccontextmanager
async def connections_to(target: Target) -> AsyncIterator[Connections]:
    """Lend connections to the target; all are closed at the end."""
    connections = Connections(target)
    try:
        yield connections
    finally:
        connections.close()
        await asyncio.sleep(0)  # the event loop closes them in its next round


class _Connection(asyncio.Protocol):
    """One connection, which the parser tells what it reads by the methods that begin with `on_`."""

    def __init__(self, largest_bytes: int) -> None:
        from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

        self._parser: httptools.HttpResponseParser = HttpResponseParser(self)
        self._parser_errors = (HttpParserError, HttpParserUpgrade)
        self._largest_bytes = largest_bytes
        self._left_bytes = 0
        self._waiting: asyncio.Future[Response] | None = None
        self._headers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._ends_with_connection = False
        self._ends_with_headers = False
        self.reusable = False
        self.used_at = 0.0

    async def exchange(self, request: bytes) -> Response:
        """Send a request and return its answer."""
        self.reusable = False
        self._ends_with_headers = request.startswith(b"HEAD ")
        self._left_bytes = LARGEST_HEAD_BYTES
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """Close it, whatever is still to come."""
        self.reusable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.WriteTransport", transport)  # not every event loop's has this base

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self.used_at = time.perf_counter()
        if self._waiting is None:  # nobody asked: the connection is out of step
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except self._parser_errors as error:
            self._fail(f"the answer is no HTTP: {error}")
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            self._fail("the answer has no end, or is larger than any that is read")
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._ends_with_connection and error is None:
            self.on_message_complete()
        self.reusable = False
        kept = self.used_at and self._left_bytes == LARGEST_HEAD_BYTES
        told = str(error or "the server closed the connection before it had answered")
        self._fail(f"{told} (it was kept from an earlier request)" if kept else told)

    def on_message_begin(self) -> None:
        """Begin an answer."""
        self._headers = {}
        self._chunks = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Learn how the end of the body will be known."""
        self._left_bytes = self._largest_bytes
        told = b"content-length" in self._headers or b"transfer-encoding" in self._headers
        self._ends_with_connection = not told
        if self._ends_with_headers:
            self.on_message_complete()
            self.reusable = False  # the parser, which was not told of it, now waits for a body

    def on_body(self, chunk: bytes) -> None:
        """Keep a part of the body."""
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        """Hand the answer over; what is only a sign of life (1xx) is no answer."""
        self._ends_with_connection = False
        status = self._parser.get_status_code()
        if self._waiting is None or self._waiting.done() or status < 200:
            return
        self.reusable = self._parser.should_keep_alive()
        self._waiting.set_result(Response(status, self._headers, b"".join(self._chunks), self.used_at))
        self._waiting = None

    def _fail(self, why: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError(why))
