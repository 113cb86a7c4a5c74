"""A TLS server for some host names: a cloud's rules first, then a stock registry, or none."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from tests.support.clouds.authority import Certificate
from tests.support.loopback import Reply

PIECE_BYTES = 256 * 1024
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length"})
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server on loopback behind a front, and the Authorization header that it knows; None: the client's."""

    port: int
    authorization: str | None = None


@dataclass(slots=True)
class Asked:
    """A request as it came to a front. Its body is on its way until somebody reads it."""

    method: str
    host: str
    target: str
    """Path and query as they were sent."""
    headers: Message
    forwarded: str | None = None
    """Path and query as the server behind gets them; None: as they were sent."""
    status: int | None = None
    """What was answered."""
    body_bytes: int = 0
    """How much of the body came so far."""
    _pieces: Iterator[bytes] = field(default_factory=lambda: iter(()), repr=False)
    _forward: Callable[[Asked], Reply] | None = field(default=None, repr=False)
    _read: bytes | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """The path without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> Mapping[str, str]:
        """The query; of a name that comes twice, the last."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def read(self) -> bytes:
        """Return the whole body, also when asked again."""
        if self._read is None:
            self._read = b"".join(self._pieces)
        return self._read

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it comes, or again as it was read."""
        return iter((self._read,)) if self._read is not None else self._pieces

    def forward(self) -> Reply:
        """Send the request to the server behind, and return its whole answer for the rules to change."""
        if self._forward is None:
            raise RuntimeError("there is no server behind this front")
        self.read()  # so that the rules can look at it afterwards
        return self._forward(self)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Rules(Protocol):
    """What a cloud does with a request before, or instead of, its registry."""

    def __call__(self, asked: Asked, /) -> Reply | None:
        """Return the answer, or None to forward the request as it is."""
        ...


class Front:
    """Answers for its hosts by TLS; notes every request. `rules` may be exchanged at any time."""

    def __init__(self, certificate: Certificate, rules: Rules, upstream: Upstream | None = None) -> None:
        self.rules = rules
        self.upstream = upstream
        self.asked: list[Asked] = []
        self._http = _Server(self, certificate.server_context())
        self._thread = threading.Thread(target=lambda: self._http.serve_forever(0.02), daemon=True)

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return self._http.server_port

    def of(self, method: str, part: str = "") -> list[Asked]:
        """Return the requests of a method whose path contains a text."""
        return [asked for asked in list(self.asked) if asked.method == method and part in asked.path]

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, front: Front, context: ssl.SSLContext) -> None:
        self.front = front
        self.context = context
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept; the handshake is left to the handler's thread, so that a slow client stops nobody."""
        connection, address = super().get_request()
        connection.settimeout(TIMEOUT_S)
        tls = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return tls, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up when they please, some because they do not trust us."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_any(self) -> None:
        asked = Asked(self.command, self.headers.get("Host", "").partition(":")[0], self.path, self.headers)
        asked._pieces, asked._forward = self._body(asked), self._collect
        front = self.server.front
        front.asked.append(asked)
        reply = front.rules(asked)
        if reply is None and front.upstream is None:
            reply = Reply(404)
        if reply is None:
            self._stream(asked)
        else:
            asked.read()  # a client that is not listened to would miss the answer
            self._answer(asked, reply)

    def _body(self, asked: Asked) -> Iterator[bytes]:
        length = int(self.headers.get("Content-Length", "0"))
        while asked.body_bytes < length:
            piece = self.rfile.read(min(PIECE_BYTES, length - asked.body_bytes))
            if not piece:
                raise ConnectionResetError("the client hung up")
            asked.body_bytes += len(piece)
            yield piece

    def _stream(self, asked: Asked) -> None:
        with self._sent_on(asked) as response:
            asked.status = response.status
            self.send_response_only(response.status)
            for name, value in _passed(response):
                self.send_header(name, value)
            length = response.getheader("Content-Length")
            content = b"" if length else response.read()
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            while self.command != "HEAD" and (piece := response.read(PIECE_BYTES)):
                self.wfile.write(piece)

    def _collect(self, asked: Asked) -> Reply:
        with self._sent_on(asked) as response:
            return Reply(response.status, dict(_passed(response)), response.read())

    @contextlib.contextmanager
    def _sent_on(self, asked: Asked) -> Iterator[http.client.HTTPResponse]:
        upstream = self.server.front.upstream
        if upstream is None:
            raise RuntimeError("there is no server behind this front")
        connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=TIMEOUT_S)
        try:
            connection.putrequest(
                asked.method, asked.forwarded or asked.target, skip_host=True, skip_accept_encoding=True
            )
            for name, value in asked.headers.items():  # several of one name too, such as Accept
                if name.lower() not in HOP_BY_HOP and not (
                    upstream.authorization and name.lower() == "authorization"
                ):
                    connection.putheader(name, value)
            if upstream.authorization:
                connection.putheader("Authorization", upstream.authorization)
            if "Content-Length" in asked.headers:
                connection.putheader("Content-Length", asked.headers["Content-Length"])
            connection.endheaders()
            for piece in asked.pieces():
                connection.send(piece)
            yield connection.getresponse()
        finally:
            connection.close()

    def _answer(self, asked: Asked, reply: Reply) -> None:
        asked.status = reply.status
        if reply.cut:
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815


def _passed(response: http.client.HTTPResponse) -> list[tuple[str, str]]:
    return [(name, value) for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP]
