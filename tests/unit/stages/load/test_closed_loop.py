"""Clients that wait for their answer: as many requests on their way as there are clients, never more."""

import asyncio

from stages.load.closed_loop import ClosedLoop, drive_closed
from stages.load.measured import Measured
from stages.load.result import result_of
from stages.load.sending import Sender
from stages.servers.interface import GOOD, Answer, Payload
from tests.support.answering import Answering


def test_as_many_requests_are_on_their_way_as_there_are_clients() -> None:
    now = most = 0

    async def answer(_: Payload) -> Answer:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return GOOD

    load = ClosedLoop(concurrency=7, duration_s=0.3)
    sender = Sender(server=Answering(answer), request_timeout_s=5, measured=Measured())
    asyncio.run(drive_closed(sender, load))
    result = result_of(load, sender.measured)
    assert most == 7
    assert (result.shape, result.concurrency, result.rate_rps) == ("closed", 7, None)
    assert result.requests == sender.measured.good > 7


def test_a_server_that_refuses_is_not_hammered() -> None:
    async def answer(_: Payload) -> Answer:
        return Answer("503 busy", kind="HTTP 503")

    sender = Sender(server=Answering(answer), request_timeout_s=5, measured=Measured())
    asyncio.run(drive_closed(sender, ClosedLoop(concurrency=1, duration_s=0.2)))
    assert 0 < sender.measured.failed <= 201
    assert set(sender.measured.kinds) == {"HTTP 503"}


def test_one_request_that_hangs_at_the_end_takes_nothing_from_the_throughput_of_the_others() -> None:
    hung = False

    async def answer(_: Payload) -> Answer:
        nonlocal hung
        await asyncio.sleep(0.01)
        if not hung and sender.measured.good > 20:
            hung = True
            await asyncio.sleep(60)
        return GOOD

    sender = Sender(server=Answering(answer), request_timeout_s=1.5, measured=Measured())
    load = ClosedLoop(concurrency=4, duration_s=0.5)
    asyncio.run(drive_closed(sender, load))
    result = result_of(load, sender.measured)
    assert result.errors_by_kind == {"timeout": 1}
    assert (
        result.throughput_rps > sender.measured.good
    )  # in two seconds, half as many would have come in each
