"""The end of a server: asked to stop while requests are on their way, as a cluster does it."""

import asyncio
import time
from dataclasses import dataclass, field

from pipeline.model import Shutdown
from stages.servers.asking import asked
from stages.servers.container import Container
from stages.servers.interface import ModelServer, Payload

FEWEST_CLIENTS, MOST_CLIENTS = 4, 64
BUSY_S = 0.1  # of work on its way at once, so that some of it is when the signal arrives
SETTLE_S = 0.3
LONGEST_SPREAD_S = 3.0
LOOK_EVERY_S = 0.01


@dataclass(slots=True)
class _Requests:
    """Requests that are sent one after the other by several clients, until the server is asked to stop."""

    server: ModelServer
    payload: Payload
    timeout_s: float
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing is sent from now on: what fails was sent before the signal."""
    lost: int = 0
    """Failed since the server was asked."""
    good_at_last: int = 0
    """Answered well after the signal was sent for sure."""
    signalled: bool = False

    async def client(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        while not self.asked.is_set():
            good = not (await asked(self.server, self.payload, self.timeout_s)).error
            if self.asked.is_set() and not good:
                self.lost += 1
            if self.signalled and good:
                self.good_at_last += 1
            if not good:
                await asyncio.sleep(LOOK_EVERY_S)


@dataclass(slots=True)
class Ending:
    """Asks a server to stop, and looks at what becomes of the requests that are on their way.

    The signal arrives somewhere between the call of the engine's command and its end. Counted is what was on
    its way during all of that time, or failed in it: nothing that was sent after the signal, and nothing that
    was answered before it. So the clients begin one after the other, and keep the server busy for longer.
    """

    container: Container
    server: ModelServer
    stop_timeout_s: float
    usual_s: float
    """How long an answer takes when nothing else is asked."""
    signal: str
    _begin: float = field(default=0.0, init=False)
    _requests: _Requests = field(init=False)

    async def ask(self) -> None:
        """Send the signal while requests are on their way, and wait for the answers to those."""
        self._requests = requests = _Requests(self.server, self.server.payloads[0], self.stop_timeout_s)
        count = max(FEWEST_CLIENTS, min(MOST_CLIENTS, round(BUSY_S / max(self.usual_s, 1e-4))))
        spread_s = min(self.usual_s, LONGEST_SPREAD_S)
        clients = [asyncio.create_task(requests.client(spread_s * at / count)) for at in range(count)]
        await asyncio.sleep(spread_s + SETTLE_S)
        requests.asked.set()
        self._begin = time.perf_counter()
        await asyncio.to_thread(self.container.signal, self.signal)
        requests.signalled = True
        await asyncio.wait(clients, timeout=self.stop_timeout_s)
        for client in clients:
            if not client.done():
                requests.lost += 1
                client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    def wait(self) -> Shutdown:
        """Wait for the end of the container; kill it when the time is over."""
        left_s = self._begin + self.stop_timeout_s - time.perf_counter()
        ended = self.container.ended.wait(max(0.0, left_s))
        duration_s = time.perf_counter() - self._begin
        if not ended:
            self.container.kill()
        requests = self._requests
        return Shutdown(
            duration_s=duration_s,
            exit_code=self.container.state().exit_code,
            killed=not ended,
            in_flight=requests.good_at_last + requests.lost,
            finished=requests.good_at_last,
        )
