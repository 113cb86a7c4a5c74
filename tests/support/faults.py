"""What can go wrong with an HTTP request on its way, and what a proxy saw of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True)
class Seen:
    """A request as it came; `body_bytes` grows while its body arrives."""

    method: str
    path: str
    headers: Mapping[str, str]
    body_bytes: int = 0
    status: int | None = None
    """What was answered, or None where the connection was broken first."""

    @property
    def length(self) -> int:
        """How long the body was announced to be."""
        return int(self.headers.get("Content-Length", "0"))

    def __str__(self) -> str:
        return f"{self.method} {self.path.partition('?')[0]}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request.

    On the way there: `cut` breaks both connections after `after_bytes` of the body, `stall` stops taking
    bytes there, `flip` passes on another byte at that place, `slow` waits for `wait_s` before every piece and
    before the answer, `answer` answers in the registry's place without reading the body.

    On the way back: `lose` drops the registry's answer, `clip` breaks it off after `after_bytes`, `truncate`
    announces more of it than comes, `rewrite` puts other headers into it, `move` another Location.
    """

    kind: Literal["cut", "stall", "flip", "slow", "answer", "lose", "clip", "truncate", "rewrite", "move"]
    after_bytes: int = 0
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    wait_s: float = 0.0
    location: Callable[[str], str] = str
    """What becomes of the registry's Location."""


Plan = Callable[[Seen], Fault | None]


def nothing(_: Seen) -> Fault | None:
    """Break nothing."""
    return None
