"""Counts what goes over the wire: a relay on loopback in a process of its own, in front of the registry.

The kernel moves the bytes from socket to socket (splice), so that the relay takes next to no time of its own;
`curl` is measured with and without it.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import SynchronizedArray

PIPE_BYTES = 1 << 20
SENT, RECEIVED = 0, 1


@dataclass(frozen=True, slots=True)
class Wire:
    """A relay that runs."""

    port: int
    _counted: SynchronizedArray[int]

    def sent_bytes(self) -> int:
        """Return what clients have sent until now."""
        return self._counted[SENT]

    def received_bytes(self) -> int:
        """Return what clients have received until now."""
        return self._counted[RECEIVED]


@contextmanager
def counting(upstream_port: int) -> Iterator[Wire]:
    """Relay and count for as long as the `with` block lasts."""
    context = multiprocessing.get_context("fork")
    counted = context.Array("Q", 2)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        process = context.Process(target=_serve, args=(server, upstream_port, counted), daemon=True)
        process.start()
        port = int(server.getsockname()[1])
    try:
        yield Wire(port, counted)
    finally:
        process.terminate()
        process.join()


def _serve(server: socket.socket, upstream_port: int, counted: SynchronizedArray[int]) -> None:
    while True:
        client, _ = server.accept()
        threading.Thread(target=_relay, args=(client, upstream_port, counted), daemon=True).start()


def _relay(client: socket.socket, upstream_port: int, counted: SynchronizedArray[int]) -> None:
    with client, socket.create_connection(("127.0.0.1", upstream_port)) as upstream:
        for end in (client, upstream):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = threading.Thread(target=_pump, args=(upstream, client, counted, RECEIVED), daemon=True)
        answers.start()
        _pump(client, upstream, counted, SENT)
        answers.join()


def _pump(source: socket.socket, sink: socket.socket, counted: SynchronizedArray[int], which: int) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    try:
        while moved := os.splice(source.fileno(), writer, PIPE_BYTES):
            with counted.get_lock():
                counted[which] += moved
            while moved:
                moved -= os.splice(reader, sink.fileno(), moved)
    except OSError:
        pass  # one of the two has gone
    finally:
        os.close(reader)
        os.close(writer)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
