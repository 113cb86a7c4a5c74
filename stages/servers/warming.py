"""The warm-up, looked at one answer at a time: since when are answers no slower than later ones?"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from stages.servers.interface import Answer, ModelServer, Payload

FEWEST = 20
NEIGHBOURS = 5
SLOWER = 1.5  # than the median of the second half: what varies less is the noise of any machine


@dataclass(slots=True)
class Timed:
    """A server that remembers when each of its answers came, and how long it took."""

    server: ModelServer
    answered: list[tuple[float, float]] = field(default_factory=list)
    """Moments of time.perf_counter, and seconds."""

    @property
    def model(self) -> str | None:
        """The model's name, once it is known."""
        return self.server.model

    @property
    def payloads(self) -> tuple[Payload, ...]:
        """What can be sent."""
        return self.server.payloads

    async def unlive(self) -> str:
        """Return what keeps the server from answering."""
        return await self.server.unlive()

    async def unready(self) -> str:
        """Return what keeps the model from answering."""
        return await self.server.unready()

    async def advise(self) -> str:
        """Return what to do about it."""
        return await self.server.advise()

    async def prepare(self) -> None:
        """Make the requests."""
        await self.server.prepare()

    async def infer(self, payload: Payload) -> Answer:
        """Send one request, and remember when a good answer came."""
        begin = time.perf_counter()
        answer = await self.server.infer(payload)
        if not answer.error:
            end = time.perf_counter()
            self.answered.append((end, end - begin))
        return answer

    def same(self, expected: bytes, answer: bytes) -> str:
        """Return how an answer differs from the expected one."""
        return self.server.same(expected, answer)


def steady_at(answered: Sequence[tuple[float, float]]) -> float | None:
    """Return the moment since which answers are as quick as in the second half; None where too few came."""
    if len(answered) < FEWEST:
        return None
    times = [seconds for _, seconds in answered]
    limit = SLOWER * median(times[len(times) // 2 :])
    for first in range(len(times) - NEIGHBOURS + 1):
        if times[first] <= limit and median(times[first : first + NEIGHBOURS]) <= limit:
            return answered[first][0]
    return None
