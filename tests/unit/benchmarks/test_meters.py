"""What is counted: bytes on the wire, bytes written by programs that have ended, memory of a tree."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from benchmarks.meters import Meter, proportional, resident, written_bytes
from benchmarks.wire import counting

MIB = 1 << 20


def answering(server: socket.socket) -> None:
    """Take everything that one client sends, then answer with twice as much."""
    client, _ = server.accept()
    with client:
        received = 0
        while piece := client.recv(MIB):
            received += len(piece)
        client.sendall(b"x" * 2 * received)


def ask(port: int, content: bytes) -> int:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        received = 0
        while piece := client.recv(MIB):
            received += len(piece)
    return received


def test_the_wire_counts_both_directions_and_changes_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answering, args=(server,))
        with counting(server.getsockname()[1]) as wire:
            thread.start()
            measure = Meter(wire, tmp_path).measure(lambda: ask(wire.port, b"x" * (5 * MIB + 1)))
        thread.join()
    assert (measure.sent_bytes, measure.received_bytes) == (5 * MIB + 1, 10 * MIB + 2)


def test_what_a_program_wrote_counts_when_it_has_ended(tmp_path: Path) -> None:
    before = written_bytes(os.getpid())
    program = (
        f"import os; file = open({str(tmp_path / 'f')!r}, 'wb'); file.write(bytes(8 << 20)); file.flush()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert written_bytes(os.getpid()) - before >= 8 * MIB


def test_a_program_and_what_it_started_hold_memory_together() -> None:
    inner = "held = bytearray(64 << 20); print(len(held), flush=True); input()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        held, alone = resident((child.pid,)), proportional((child.pid,))
        child.communicate(b"\n")
    assert 64 * MIB < alone < held < 200 * MIB
    assert resident((child.pid,)) == 0
