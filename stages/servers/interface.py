"""The contract between the benchmark and a model server, whatever protocol it speaks."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

LOOPBACK = "127.0.0.1"
TIMEOUT = "timeout"
"""The kind of an error: there was no answer in time."""
LACKING = "not sent by us"
"""The kind of an error: this machine had no open files or ports left to send with."""


def bracketed(host: str) -> str:
    """Return a host as it stands before a port: version 6 of IP has colons of its own."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One request that is sent, and how often among the others."""

    body: bytes
    name: str = ""
    """File and line that it was read from."""
    weight: float = 1.0
    content_type: str = "application/json"
    expected: bytes | None = None
    """The answer that a check compares with; None: an answer is right when its form is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a model server answers, and what is asked of it."""

    port: int
    host: str = LOOPBACK
    """This machine, or an address on a private network where the server was started elsewhere."""
    model: str | None = None
    """The model's name at the server; None asks the server."""
    image: str = ""
    """The image's name, which stands for the model's where the server cannot be asked."""
    payloads: tuple[Payload, ...] = ()
    """What is sent; nothing: one request is made from what the server says of the model."""
    options: dict[str, str] = field(default_factory=dict)
    """What the protocol alone understands, such as the path of a plain HTTP server."""
    tolerance: float = 1e-4
    """The share by which a fraction in an answer may differ from the expected one."""

    @property
    def authority(self) -> str:
        """Host and port, as they stand in a URL."""
        return f"{bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a language model's answer consisted of; times of time.perf_counter."""

    count: int
    first_at: float
    last_at: float
    counted_by_server: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What one inference came back with; no `error` means an answer that is right in form."""

    error: str = ""
    temporary: bool = False
    """The server may do better a moment later: it could not be reached, or said that it failed."""
    kind: str = ""
    """What like errors share, such as `HTTP 500`, `connection`, `form`; empty: the error's own words."""
    body: bytes = b""
    """The answer as it came, for the check of what it says."""
    tokens: Tokens | None = None
    at: float = field(default=0.0, compare=False)
    """When its last byte had come (time.perf_counter); 0: when `infer` returned it."""


GOOD = Answer()


class ModelServer(Protocol):
    """One model at a running server."""

    @property
    def model(self) -> str | None:
        """The model's name, once it is known."""
        ...

    @property
    def payloads(self) -> tuple[Payload, ...]:
        """What can be sent, once the server is prepared; never empty then."""
        ...

    async def unlive(self) -> str:
        """Return what keeps the server, whatever its models do, from answering; nothing when it is live."""
        ...

    async def unready(self) -> str:
        """Return what keeps the model from answering, in a few words; nothing when it is ready."""
        ...

    async def advise(self) -> str:
        """Return what to do about what `unready` said last; asked once, when the deadline has passed."""
        ...

    async def prepare(self) -> None:
        """Make the requests that `infer` sends, where the target names none; the model is ready.

        Raises:
            StageFailed: the server does not say what the model expects.
        """
        ...

    async def infer(self, payload: Payload) -> Answer:
        """Send one inference request and check the form of its answer; time limits are the caller's."""
        ...

    def same(self, expected: bytes, answer: bytes) -> str:
        """Return how an answer differs from the expected one; nothing when it does not, but for rounding."""
        ...


class ServerProtocol(Protocol):
    """A way to speak to model servers."""

    @property
    def options(self) -> frozenset[str]:
        """The names of the options that it understands."""
        ...

    def connect(self, target: Target) -> AbstractAsyncContextManager[ModelServer]:
        """Lend a server; every connection to it is closed at the end."""
        ...
