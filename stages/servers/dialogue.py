"""The conversation with one server: an event loop that is used in turns while its container lives."""

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, TypeVar

from pipeline.errors import StageFailed
from stages.servers.causes import with_weights
from stages.servers.container import Container, while_alive
from stages.servers.interface import ModelServer, ServerProtocol, Target
from stages.servers.start import NotReady, PortClosed

T = TypeVar("T")


class Dialogue:
    """Lends the server at a target; every connection to it is closed at the end, or by `hang_up`."""

    def __init__(self, container: Container, *, with_weights: bool, readiness_timeout_s: float) -> None:
        import uvloop

        self._container = container
        self._with_weights = with_weights
        self._timeout_s = readiness_timeout_s
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._holder: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.close()  # which ends the task that holds the connections, wherever it is

    def run(self, work: Awaitable[T]) -> T:
        """Return what the work gives; it ends with an error when the container does.

        Raises:
            StageFailed: the container ended, or the work says so; with the end of the server's log.
        """
        try:
            return self._runner.run(while_alive(self._container, work))
        except NotReady as error:
            what = f"the server was not ready after {self._timeout_s:g} s: {error}"
            advice = self._container.why_closed() if isinstance(error, PortClosed) else error.advice
            raise self._explained(StageFailed(what, advice=advice)) from None
        except StageFailed as error:
            raise self._explained(error) from error

    def run_to_its_end(self, work: Awaitable[T]) -> T:
        """Return what the work gives, also when the container ends meanwhile."""
        return self._runner.run(_awaited(work))

    def address(self, port: int | None = None) -> tuple[str, int]:
        """Return where the server answers us, or what is beside it.

        Raises:
            StageFailed: the container ended at once, or the engine gives it none.
        """
        try:
            return self._container.address(port)
        except StageFailed as error:
            raise self._explained(error) from error

    def connect(self, protocol: ServerProtocol, target: Target) -> ModelServer:
        """Open the conversation."""
        return self.run(self._connect(protocol, target))

    def hang_up(self) -> None:
        """Close every connection."""
        self.run_to_its_end(self._hang_up())

    async def _connect(self, protocol: ServerProtocol, target: Target) -> ModelServer:
        lent: asyncio.Future[ModelServer] = asyncio.get_running_loop().create_future()
        self._holder = asyncio.create_task(self._hold(protocol, target, lent))
        return await lent

    async def _hold(
        self, protocol: ServerProtocol, target: Target, lent: asyncio.Future[ModelServer]
    ) -> None:
        """Keep the connections in one task: some libraries insist that who opens them closes them."""
        try:
            async with protocol.connect(target) as server:
                lent.set_result(server)
                await self._over.wait()
        except Exception as error:
            if lent.done():
                raise
            lent.set_exception(error)

    async def _hang_up(self) -> None:
        self._over.set()
        if self._holder is not None:
            await self._holder

    def _explained(self, error: StageFailed) -> StageFailed:
        """Return the error with the end of the server's log, and with what that tells of the weights."""
        tail = error.tail or "\n".join(self._container.log_tail())
        advice = with_weights(error.advice, tail, mounted=self._with_weights)
        return StageFailed(error.message, advice=advice, tail=tail)


async def _awaited(work: Awaitable[T]) -> T:
    return await work
