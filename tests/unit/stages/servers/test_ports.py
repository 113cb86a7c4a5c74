"""The ports of a container: those of this very process, seen by the kernel, and tables as it writes them."""

import os
import socket
import sys
from pathlib import Path

import pytest

from stages.servers.ports import Listener, listeners

CONTAINER = "c0ffee"
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue\n"


def word(octets: str) -> str:
    """Return four octets as this machine's kernel writes them."""
    return bytes.fromhex(octets)[:: -1 if sys.byteorder == "little" else 1].hex().upper()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "proc/7"
    (folder / "net").mkdir(parents=True)
    (folder / "cgroup").write_text(f"0::/docker/{CONTAINER}\n")
    (folder / "net/tcp").write_text(
        f"{HEADER}   0: {word('7F000001')}:1F90 00000000:0000 0A\n"
        f"   1: {word('00000000')}:2328 00000000:0000 0A\n"
        f"   2: {word('7F00000B')}:9C40 00000000:0000 0A\n"
        f"   3: {word('0A000001')}:2329 00000000:0000 01\n"
    )
    return tmp_path


def test_listeners_are_told_from_connections_and_from_the_engines_resolver(root: Path) -> None:
    assert listeners(CONTAINER, 7, root) == (Listener(8080, True), Listener(9000, False))


def test_the_sixth_version_is_read_too(root: Path) -> None:
    zero = word("00000000")
    (root / "proc/7/net/tcp6").write_text(
        f"{HEADER}   0: {zero * 4}:1F40 {zero * 4}:0000 0A\n"
        f"   1: {zero * 3}{word('00000001')}:1F41 {zero * 4}:0000 0A\n"
        f"   2: {zero * 2}{word('0000FFFF')}{word('7F000001')}:1F42 {zero * 4}:0000 0A\n"
    )
    found = listeners(CONTAINER, 7, root)
    assert found is not None
    assert found[:3] == (Listener(8000, False), Listener(8001, True), Listener(8002, True))


def test_a_process_of_another_machine_tells_nothing(root: Path) -> None:
    assert listeners("decaf", 7, root) is None
    assert listeners(CONTAINER, 8, root) is None


def test_the_kernel_writes_what_is_read_here(tmp_path: Path) -> None:
    folder = tmp_path / "proc/7"
    folder.mkdir(parents=True)
    (folder / "cgroup").write_text(CONTAINER)
    (folder / "net").symlink_to(f"/proc/{os.getpid()}/net")
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert Listener(server.getsockname()[1], True) in (listeners(CONTAINER, 7, tmp_path) or ())
