"""The ports at which a container listens, read from the kernel's tables of this machine.

Source: Linux, Documentation/networking/proc_net_tcp.rst.
"""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

LISTEN = "0A"
ENGINE_RESOLVER = IPv4Address("127.0.0.11")
"""The engine's own name server, inside every container of a network that somebody made."""


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """A port at which somebody listens; `loopback` when nobody outside the container reaches it."""

    port: int
    loopback: bool


def listeners(container: str, pid: int, root: Path = Path("/")) -> tuple[Listener, ...] | None:
    """Return the listeners beside a container's first process, or None where they cannot be seen."""
    process = root / f"proc/{pid}"
    try:
        if container not in (process / "cgroup").read_text():
            return None  # the engine is on another machine: the process of this id is another one here
        lines = (process / "net/tcp").read_text().splitlines()
    except OSError:
        return None
    with contextlib.suppress(OSError):  # a machine without IPv6
        lines += (process / "net/tcp6").read_text().splitlines()
    return tuple(sorted(set(_found(lines))))


def _found(lines: Iterable[str]) -> Iterator[Listener]:
    for line in lines:
        words = line.split()
        if len(words) > 3 and words[3] == LISTEN:
            written, _, port = words[1].partition(":")
            address = _address(written)
            if address != ENGINE_RESOLVER:
                yield Listener(int(port, 16), address.is_loopback)


def _address(written: str) -> IPv4Address | IPv6Address:
    """Return an address from words of 32 bits, each in the byte order of the machine."""
    words = (bytes.fromhex(written[begin : begin + 8]) for begin in range(0, len(written), 8))
    address = ip_address(b"".join(word[::-1] if sys.byteorder == "little" else word for word in words))
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
