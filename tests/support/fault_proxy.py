"""A reverse proxy on loopback that breaks requests on demand, in front of a registry that is real.

It notes every request with the bytes of its body that came, so that a test can count what was sent twice.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.certificates import Issued
from tests.support.faults import Fault, Plan, Seen, nothing

PIECE_BYTES = 64 * 1024
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length"})
LONGEST_STALL_S = 30.0
NO_HEADERS: Mapping[str, str] = {}
NO_LINGER = struct.pack("ii", 1, 0)  # close() then resets the connection


class FaultProxy:
    """Forwards to a port of this machine and breaks what `plan` says.

    With `buffered`, a request is forwarded once its whole body is here, as nginx does unless told otherwise.
    `adds` are headers that it puts into every request; with a `certificate` it speaks TLS.
    """

    def __init__(
        self,
        port: int,
        plan: Plan = nothing,
        *,
        buffered: bool = False,
        adds: Mapping[str, str] = NO_HEADERS,
        certificate: Issued | None = None,
    ) -> None:
        self.plan = plan
        self.adds = adds
        self.tls: ssl.SSLContext | None = None
        if certificate is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate.certificate, certificate.key)
        self.seen: list[Seen] = []
        self.upstream_port = port
        self.buffered = buffered
        self.stopping = threading.Event()
        self._http = _Server(self)
        self._thread = threading.Thread(target=lambda: self._http.serve_forever(0.02), daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._http.server_port

    def of(self, method: str, part: str = "") -> list[Seen]:
        """Return the requests of a method whose path contains a text."""
        return [seen for seen in list(self.seen) if seen.method == method and part in seen.path]

    def body_bytes(self) -> int:
        """Return how many bytes of blobs came so far."""
        return sum(seen.body_bytes for seen in list(self.seen) if "/blobs/uploads/" in seen.path)

    def wait_for_bytes(self, count: int, *, timeout_s: float = 60.0) -> None:
        """Wait until so many bytes of blobs came."""
        deadline = time.monotonic() + timeout_s
        while self.body_bytes() < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.body_bytes()} of {count} bytes came")
            time.sleep(0.002)

    def start(self) -> None:
        """Begin to forward."""
        self._thread.start()

    def stop(self) -> None:
        """Stop forwarding."""
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@contextmanager
def fault_proxy(
    port: int,
    plan: Plan = nothing,
    *,
    buffered: bool = False,
    adds: Mapping[str, str] = NO_HEADERS,
    certificate: Issued | None = None,
) -> Iterator[FaultProxy]:
    """Run a proxy in front of a port for as long as the `with` block lasts."""
    proxy = FaultProxy(port, plan, buffered=buffered, adds=adds, certificate=certificate)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread, where TLS is spoken."""
        tls = self.proxy.tls
        with request if tls is None else tls.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are what this is for."""


class _Broken(Exception):
    """The connection to the client ends here."""


class _Hung(Exception):
    """The connection to the client was ended already."""


def _flipped(piece: bytes, place: int) -> bytes:
    if not 0 <= place < len(piece):
        return piece
    return piece[:place] + bytes([piece[place] ^ 1]) + piece[place + 1 :]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_any(self) -> None:
        seen = Seen(self.command, self.path, dict(self.headers.items()))
        self.server.proxy.seen.append(seen)
        fault = self.server.proxy.plan(seen)
        try:
            self._serve(seen, fault)
        except _Hung:
            return
        except (_Broken, OSError, http.client.HTTPException):
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)

    def _serve(self, seen: Seen, fault: Fault | None) -> None:
        if fault is not None and fault.kind == "answer":
            self.close_connection = True
            self._answer(seen, fault.status, fault.headers, fault.body)
            return
        port = self.server.proxy.upstream_port
        upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_STALL_S)
        try:
            if self.server.proxy.buffered:
                body = b"".join(self._body(seen, fault))
                self._open(upstream, seen)
                upstream.send(body)
            else:
                self._open(upstream, seen)
                self._forward(upstream, seen, fault)
            self._wait(fault)
            response = upstream.getresponse()
            self._pass_on(seen, fault, response)
        finally:
            upstream.close()

    def _forward(self, upstream: http.client.HTTPConnection, seen: Seen, fault: Fault | None) -> None:
        for piece in self._body(seen, fault):
            self._wait(fault)
            try:
                upstream.send(piece)
            except ConnectionError:  # it has answered without reading all of it
                self.close_connection = True
                return

    def _open(self, upstream: http.client.HTTPConnection, seen: Seen) -> None:
        upstream.putrequest(seen.method, seen.path, skip_host=True, skip_accept_encoding=True)
        for name, value in {**seen.headers, **self.server.proxy.adds}.items():
            if name.lower() not in HOP_BY_HOP:
                upstream.putheader(name, value)
        if "Content-Length" in seen.headers:
            upstream.putheader("Content-Length", seen.headers["Content-Length"])
        upstream.endheaders()

    def _body(self, seen: Seen, fault: Fault | None) -> Iterator[bytes]:
        breaks = fault is not None and fault.kind in {"cut", "stall"}
        end = min(fault.after_bytes, seen.length) if fault is not None and breaks else seen.length
        while seen.body_bytes < end:
            piece = self.rfile.read(min(PIECE_BYTES, end - seen.body_bytes))
            if not piece:
                raise _Broken
            begin, seen.body_bytes = seen.body_bytes, seen.body_bytes + len(piece)
            yield _flipped(piece, fault.after_bytes - begin) if fault and fault.kind == "flip" else piece
        if fault is not None and fault.kind == "stall":
            self._stall()
        if breaks:
            raise _Broken

    def _wait(self, fault: Fault | None) -> None:
        if fault is not None and fault.wait_s:
            self.server.proxy.stopping.wait(fault.wait_s)

    def _stall(self) -> None:
        """Take nothing more, until the client gives up."""
        hung_up = select.poll()
        hung_up.register(self.connection, select.POLLRDHUP)
        deadline = time.monotonic() + LONGEST_STALL_S
        while time.monotonic() < deadline and not self.server.proxy.stopping.is_set():
            if hung_up.poll(50):
                return

    def _pass_on(self, seen: Seen, fault: Fault | None, response: http.client.HTTPResponse) -> None:
        headers = {name: value for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP}
        content = response.read()
        if fault is not None and fault.kind == "lose":
            raise _Broken
        if fault is not None and fault.kind == "truncate":
            self._truncate(response.status, headers)
        if fault is not None and fault.kind == "rewrite":
            headers = {**headers, **fault.headers}
        if fault is not None and fault.kind == "move" and "Location" in headers:
            headers = {**headers, "Location": fault.location(headers["Location"])}
        if fault is not None and fault.kind == "clip":
            self._clip(response.status, headers, content, fault.after_bytes)
        length = response.getheader("Content-Length") or str(len(content))
        self._answer(seen, response.status, {**headers, "Content-Length": length}, content)

    def _clip(self, status: int, headers: Mapping[str, str], content: bytes, length: int) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        whole = (
            f"HTTP/1.1 {status} Clipped\r\nContent-Length: {len(content)}\r\n{lines}\r\n".encode() + content
        )
        self.wfile.write(whole[: min(length, len(whole) - 1)])
        self._hang_up()

    def _truncate(self, status: int, headers: Mapping[str, str]) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.wfile.write(f"HTTP/1.1 {status} Cut\r\n{lines}Content-Length: 100\r\n\r\n{{".encode())
        self._hang_up()

    def _hang_up(self) -> None:
        """Say that no more comes, in an orderly way: what was written is read first."""
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
        raise _Hung

    def _answer(self, seen: Seen, status: int, headers: Mapping[str, str], content: bytes) -> None:
        seen.status = status
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815
