"""Payloads by their weight, answers that are compared, and tokens that are counted."""

import asyncio
import time
from collections import Counter

import pytest

from stages.load.measured import Measured
from stages.load.sending import CHECKED_EVERY, Sender, chooser
from stages.servers.interface import Answer, Payload, Tokens
from tests.support.answering import Answering, Infer


def sent(answer: Infer, payload: Payload, times: int = 1, check_every: int = CHECKED_EVERY) -> Measured:
    sender = Sender(
        server=Answering(answer, payloads=(payload,)),
        request_timeout_s=5,
        measured=Measured(),
        check_every=check_every,
    )

    async def play() -> None:
        for _ in range(times):
            now = time.perf_counter()
            await sender.send(now, now)

    asyncio.run(play())
    return sender.measured


@pytest.mark.parametrize("weights", [(3, 1), (9, 1), (1, 1, 1, 1), (0.5, 0.2, 0.3)])
def test_payloads_come_by_their_weights_and_in_the_same_order_in_every_run(
    weights: tuple[float, ...],
) -> None:
    payloads = tuple(Payload(body=b"", name=str(at), weight=weight) for at, weight in enumerate(weights))
    choose, again = chooser(payloads), chooser(payloads)
    names = [choose().name for _ in range(1000)]
    for some in (names[:100], names[::CHECKED_EVERY]):
        for at, weight in enumerate(weights):
            assert Counter(some)[str(at)] == pytest.approx(100 * weight / sum(weights), abs=2)
    assert names == [again().name for _ in range(1000)]


def test_an_answer_that_says_something_else_is_an_error_however_fast() -> None:
    async def answer(_: Payload) -> Answer:
        return Answer(body=b"7")

    measured = sent(answer, Payload(body=b"", name="seven.json", expected=b"8"), times=4, check_every=2)
    assert (measured.good, measured.checked, measured.wrong) == (2, 2, 2)
    assert measured.kinds == {"wrong answer": 2}
    (message,) = measured.errors
    assert message == "wrong answer to seven.json: b'7' is not b'8'"


def test_tokens_are_timed_from_when_the_request_was_due() -> None:
    async def answer(_: Payload) -> Answer:
        begin = time.perf_counter()
        return Answer(
            tokens=Tokens(count=5, first_at=begin + 0.2, last_at=begin + 0.6, counted_by_server=True)
        )

    found = sent(answer, Payload(body=b"")).tokens
    assert found is not None
    assert found.tokens == 5
    assert found.first.percentile_ms(50) == pytest.approx(200, rel=0.05)
    assert found.each.percentile_ms(50) == pytest.approx(100, rel=0.01)


class Unreadable(Answering):
    """A protocol that cannot read the answer."""

    def same(self, expected: bytes, answer: bytes) -> str:
        raise RecursionError("maximum recursion depth exceeded")


def test_an_answer_that_cannot_be_compared_is_wrong_and_ends_no_run() -> None:
    async def answer(_: Payload) -> Answer:
        return Answer(body=b"[[[[")

    payload = Payload(body=b"", name="deep.json", expected=b"[]")
    server = Unreadable(answer, payloads=(payload,))
    sender = Sender(server=server, request_timeout_s=5, measured=Measured())
    assert asyncio.run(sender.send(time.perf_counter(), time.perf_counter())) is False
    assert sender.measured.kinds == {"wrong answer": 1}
    assert "it cannot be compared: RecursionError" in next(iter(sender.measured.errors))


def test_comparing_an_answer_is_not_the_servers_time() -> None:
    class Slow(Answering):
        def same(self, expected: bytes, answer: bytes) -> str:
            time.sleep(0.2)
            return ""

    async def answer(_: Payload) -> Answer:
        return Answer(body=b"7")

    server = Slow(answer, payloads=(Payload(body=b"", expected=b"7"),))
    sender = Sender(server=server, request_timeout_s=5, measured=Measured())
    assert asyncio.run(sender.send(time.perf_counter(), time.perf_counter()))
    assert sender.measured.service.percentile_ms(100) < 150
