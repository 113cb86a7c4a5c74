"""The contract between the benchmark and a model server, whatever protocol it speaks."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

LOOPBACK = "127.0.0.1"


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
    request: bytes | None = None
    """The body of an inference request; None has one made from what the server says of the model."""
    connections: int = 1024
    """How many requests may be on their way at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one inference came back with; no `error` means an answer that is right in form."""

    error: str = ""
    temporary: bool = False
    """The server may do better a moment later: it could not be reached, or said that it failed."""


GOOD = Answer()


class ModelServer(Protocol):
    """One model at a running server."""

    @property
    def model(self) -> str | None:
        """The model's name, once it is known."""
        ...

    async def unready(self) -> str:
        """Return what keeps the model from answering, in a few words; nothing when it is ready."""
        ...

    async def advise(self) -> str:
        """Return what to do about what `unready` said last; asked once, when the deadline has passed."""
        ...

    async def prepare(self) -> None:
        """Make the request that `infer` sends; the model is ready.

        Raises:
            StageFailed: the server does not say what the model expects.
        """
        ...

    async def infer(self) -> Answer:
        """Send one inference request and check its answer; time limits are the caller's."""
        ...


class ServerProtocol(Protocol):
    """A way to speak to model servers."""

    def connect(self, target: Target) -> AbstractAsyncContextManager[ModelServer]:
        """Lend a server; every connection to it is closed at the end."""
        ...
