"""A relay on loopback that cuts answers short: the connection is gone after so many bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PIECE_BYTES = 16 * 1024


class CuttingRelay:
    """Passes connections on to a port; each of the next `cuts` is broken after its number of bytes."""

    def __init__(self, port: int) -> None:
        self.cuts: list[int] = []
        self.broken = 0
        self._upstream_port = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Begin to pass connections on."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._upstream_port)) as upstream:
            up = threading.Thread(target=self._ask, args=(client, upstream), daemon=True)
            up.start()
            with contextlib.suppress(OSError):
                self._answer(upstream, client)
            for end in (client, upstream):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            up.join()

    def _ask(self, client: socket.socket, upstream: socket.socket) -> None:
        """Pass requests on, to the host that the server knows itself by."""
        ours, theirs = f"127.0.0.1:{self.port}".encode(), f"127.0.0.1:{self._upstream_port}".encode()
        with contextlib.suppress(OSError):
            while piece := client.recv(PIECE_BYTES):
                upstream.sendall(piece.replace(ours, theirs))

    def _answer(self, upstream: socket.socket, client: socket.socket) -> None:
        passed = 0
        while piece := upstream.recv(PIECE_BYTES):
            with self._lock:
                cut = self.cuts[0] if self.cuts else None
                breaks = cut is not None and passed + len(piece) > cut
                if breaks:
                    self.cuts.pop(0)
                    self.broken += 1
            client.sendall(piece[: max(0, cut - passed)] if breaks and cut is not None else piece)
            if breaks:
                return
            passed += len(piece)


@contextmanager
def cutting_relay(port: int) -> Iterator[CuttingRelay]:
    """Run a relay in front of a port for as long as the `with` block lasts."""
    relay = CuttingRelay(port)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()
