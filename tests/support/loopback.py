"""Small HTTP servers on loopback: one that answers as a function says, and a registry that can misbehave."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from tests.support.certificates import Issued


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes

    def asked(self, name: str) -> str | None:
        """Return a value of the query."""
        return dict(self.query).get(name)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer; `cut` closes the connection instead, `half` in the middle of the body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False
    half: bool = False


Answer = Callable[[Received], Reply | None]


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up or do not trust us; show what a test's answers raise."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Server:
    """Remembers what it received and answers as it was told; None is answered by 404."""

    def __init__(self, answer: Answer, issued: Issued | None = None) -> None:
        self.received: list[Received] = []
        self._scheme = "http" if issued is None else "https"
        self._http = _Listener(("127.0.0.1", 0), _handler(self, answer))
        if issued is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(issued.certificate, issued.key)
            # a client that breaks the handshake off must not keep others waiting
            listening = tls.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
            self._http.socket = listening
        self._thread = threading.Thread(target=lambda: self._http.serve_forever(0.02), daemon=True)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._http.server_port}"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{self._scheme}://{self.address}"

    def asked(self) -> list[str]:
        """Return the requests so far as `METHOD path`."""
        return [str(request) for request in self.received]

    def wait_for(self, method: str) -> None:
        """Wait until a request of this kind is noted, at most ten seconds."""
        deadline = time.monotonic() + 10
        while not any(request.method == method for request in list(self.received)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {method} came")
            time.sleep(0.01)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@contextmanager
def serving(answer: Answer, issued: Issued | None = None) -> Iterator[Server]:
    """Run a server, over TLS where it has a certificate, for as long as the `with` block lasts."""
    server = Server(answer, issued)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _handler(server: Server, answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(length)
            request = Received(
                self.command, parts.path, tuple(parse_qsl(parts.query)), dict(self.headers.items()), body
            )
            server.received.append(request)
            reply = answer(request) or Reply(404)
            self._reply(reply if len(body) == length else Reply(0, cut=True))

        def _reply(self, reply: Reply) -> None:
            if reply.cut:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body[: len(reply.body) // 2] if reply.half else reply.body)
            self.close_connection = self.close_connection or reply.half

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Say nothing."""

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

    return Handler


def json_reply(status: int, document: object, **headers: str) -> Reply:
    """Return a reply with a JSON body; `_` in header names stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"Content-Type": "application/json", **named}, json.dumps(document).encode())


def refused(status: int, code: str, message: str = "", **headers: str) -> Reply:
    """Return a registry's error with its code."""
    return json_reply(status, {"errors": [{"code": code, "message": message}]}, **headers)


@dataclass(slots=True)
class MemoryRegistry:
    """A registry in memory, open to all; `before` may answer in its place, and so make it misbehave."""

    before: Answer = lambda _: None
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)

    def __call__(self, request: Received) -> Reply | None:
        if (reply := self.before(request)) is not None:
            return reply
        if request.path == "/v2/":
            return json_reply(200, {})
        for kind, serve in (
            ("/blobs/uploads/", self._upload),
            ("/blobs/", self._blob),
            ("/manifests/", self._manifest),
        ):
            name, found, rest = request.path.removeprefix("/v2/").partition(kind)
            if found:
                return serve(request, name, rest)
        return None

    def _upload(self, request: Received, name: str, upload: str) -> Reply:
        if request.method == "POST":
            return self._open(request, name)
        there = self.uploads.get(upload)
        if there is None:
            return refused(404, "BLOB_UPLOAD_UNKNOWN")
        if request.method == "DELETE":
            del self.uploads[upload]
            return Reply(204, {})
        if request.method == "PATCH" and not request.headers["Content-Range"].startswith(f"{len(there)}-"):
            return self._upload_status(416, name, upload)
        there += request.body  # also of a request that was broken off
        if request.method == "PUT":
            return self._complete(request, name, upload)
        return self._upload_status(202 if request.method == "PATCH" else 204, name, upload)

    def _complete(self, request: Received, name: str, upload: str) -> Reply:
        content, digest = bytes(self.uploads.pop(upload)), request.asked("digest") or ""
        if digest != _digest(content):
            return refused(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.blobs[name, digest] = content
        return Reply(201, {"Docker-Content-Digest": digest})

    def _open(self, request: Received, name: str) -> Reply:
        source = (request.asked("from") or "", request.asked("mount") or "")
        if source in self.blobs:
            self.blobs[name, source[1]] = self.blobs[source]
            return Reply(201, {"Docker-Content-Digest": source[1]})
        upload = str(uuid4())
        self.uploads[upload] = bytearray()
        return self._upload_status(202, name, upload)

    def _upload_status(self, status: int, name: str, upload: str) -> Reply:
        last = max(len(self.uploads[upload]) - 1, 0)
        location = f"/v2/{name}/blobs/uploads/{upload}?_state=secret"
        return Reply(status, {"Location": location, "Range": f"0-{last}"})

    def _blob(self, request: Received, name: str, digest: str) -> Reply:
        content = self.blobs.get((name, digest))
        if content is None:
            return refused(404, "BLOB_UNKNOWN")
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if asked is None:
            return Reply(200, {}, content)
        begin = int(asked[1])
        said = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"}
        return Reply(206, said, content[begin:]) if begin < len(content) else Reply(416)

    def store_manifest(self, request: Received) -> Reply:
        """Take the manifest that a request brings, without asking `before`."""
        name, _, reference = request.path.removeprefix("/v2/").partition("/manifests/")
        return self._manifest(request, name, reference)

    def _manifest(self, request: Received, name: str, reference: str) -> Reply:
        if request.method == "PUT":
            digest = _digest(request.body)
            for key in (reference, digest):
                self.manifests[name, key] = (request.headers["Content-Type"], request.body)
            return Reply(201, {"Docker-Content-Digest": digest})
        found = self.manifests.get((name, reference))
        if found is None:
            return refused(404, "MANIFEST_UNKNOWN")
        media_type, content = found
        return Reply(200, {"Content-Type": media_type, "Docker-Content-Digest": _digest(content)}, content)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
