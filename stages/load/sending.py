"""One request: sent, timed, and its answer counted as what it is."""

import math
import time
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, count

from stages.load.measured import Measured, TokenCounts
from stages.servers.asking import asked, compared
from stages.servers.interface import TIMEOUT, Answer, ModelServer, Payload

GOLDEN = (math.sqrt(5) - 1) / 2
CHECKED_EVERY = 10  # answers whose content is compared: each would cost the generator what it needs to send


@dataclass(slots=True)
class Sender:
    """Sends the payloads of one server, by their weights, and counts what comes back."""

    server: ModelServer
    request_timeout_s: float
    measured: Measured
    check_every: int = CHECKED_EVERY
    payloads: Sequence[Payload] = ()
    """What is sent in place of the server's own payloads: the same ones, with the answers to expect."""
    _choose: Callable[[], Payload] = field(init=False)
    _sent: int = 0

    def __post_init__(self) -> None:
        self._choose = chooser(self.payloads or self.server.payloads)

    async def send(self, due: float, possible: float) -> bool:
        """Send one request, and return whether its answer was good.

        It was due at `due` and could be sent from `possible` on (time.perf_counter).
        """
        payload = self._choose()
        number, self._sent = self._sent, self._sent + 1
        sent = time.perf_counter()
        measured = self.measured
        measured.lags.add((sent - possible) * 1000)
        answer = await asked(self.server, payload, self.request_timeout_s)
        good = self._is_good(answer, payload, number)
        if good:
            measured.good += 1
            measured.first_answer_at = min(measured.first_answer_at or answer.at, answer.at)
            measured.answered_at = max(measured.answered_at, answer.at)
            self._count_tokens(answer, due)
        if good or answer.kind == TIMEOUT:
            measured.latencies.add((answer.at - due) * 1000)
            measured.service.add((answer.at - sent) * 1000)
        return good

    def _is_good(self, answer: Answer, payload: Payload, number: int) -> bool:
        if answer.error:
            self.measured.note(answer.error, answer.kind)
            return False
        if payload.expected is None or number % self.check_every:
            return True
        self.measured.checked += 1
        if difference := compared(self.server, payload.expected, answer.body):
            self.measured.wrong += 1
            self.measured.note(
                f"wrong answer to {payload.name or 'the request'}: {difference}", "wrong answer"
            )
            return False
        return True

    def _count_tokens(self, answer: Answer, due: float) -> None:
        if answer.tokens is None:
            return
        if self.measured.tokens is None:
            self.measured.tokens = TokenCounts()
        self.measured.tokens.add(answer.tokens, due)


def chooser(payloads: Sequence[Payload]) -> Callable[[], Payload]:
    """Return what chooses the next payload by weight, in the same order in every run.

    Multiples of the golden ratio fill the weights evenly from the first request on, and so does every tenth
    of them, which is checked. (Chance would give a weight of one in ten four of 100 requests, or sixteen.)
    """
    if len(payloads) == 1:
        return lambda: payloads[0]
    limits = [*accumulate(payload.weight for payload in payloads)]
    numbers = count()
    return lambda: payloads[bisect(limits, next(numbers) * GOLDEN % 1.0 * limits[-1], hi=len(limits) - 1)]
