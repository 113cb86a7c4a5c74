"""An HTTP proxy on loopback that connects known host names to ports of this machine, and no others."""

from __future__ import annotations

import contextlib
import socket
import threading
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE_BYTES = 256 * 1024


class ConnectProxy:
    """Serves CONNECT; notes which hosts were asked for."""

    def __init__(self) -> None:
        self.connected: list[str] = []
        """The hosts that somebody was connected to, in order."""
        self.refused: list[str] = []
        """The hosts that nobody here plays."""
        self._routes: dict[str, int] = {}
        self._http = _Server(self)
        self._thread = threading.Thread(target=lambda: self._http.serve_forever(0.02), daemon=True)

    @property
    def url(self) -> str:
        """What HTTPS_PROXY says."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def route(self, host: str, port: int) -> None:
        """Connect a host name (`*` stands for any part of it) to a port of this machine from now on."""
        self._routes[host] = port

    def port_of(self, host: str) -> int | None:
        """Return where a host is, the most exact route first; None where nobody plays it."""
        fitting = [name for name in self._routes if fnmatch(host.lower(), name)]
        return self._routes[max(fitting, key=len)] if fitting else None

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def stop(self) -> None:
        """Stop connecting."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: ConnectProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up when they please."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        host = self.path.rpartition(":")[0]
        port = self.server.proxy.port_of(host)
        self.close_connection = True
        if port is None:
            self.server.proxy.refused.append(host)
            self.send_error(502, f"nobody here plays {host}")
            return
        self.server.proxy.connected.append(host)
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            self.send_response_only(200, "Connection established")
            self.end_headers()
            back = threading.Thread(target=_pass_on, args=(upstream, self.connection), daemon=True)
            back.start()
            _pass_on(self.connection, upstream)
            back.join()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes one way until the source ends, and pass its end on."""
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE_BYTES):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
