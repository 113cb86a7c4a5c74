"""A generator that was the bottleneck says so; a server that is slow is not the generator's fault."""

import asyncio
import threading

import uvloop

from pipeline.model import LoadResult
from stages.load.measured import Measured
from stages.load.open_loop import OpenLoop, drive
from stages.load.result import result_of
from stages.load.sending import Sender
from stages.servers.interface import GOOD, LACKING, Answer, Payload
from tests.support.answering import Answering

LOAD = OpenLoop(rate_rps=100, duration_s=2)


def run(answer_s: float) -> LoadResult:
    async def answer(_: Payload) -> Answer:
        await asyncio.sleep(answer_s)
        return GOOD

    sender = Sender(server=Answering(answer), request_timeout_s=30, measured=Measured())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(drive(sender, LOAD))
    return result_of(LOAD, sender.measured)


def test_threads_that_starve_the_generator_make_its_numbers_invalid() -> None:
    over = threading.Event()

    def keep_busy() -> None:
        while not over.is_set():
            sum(range(10_000))

    busy = [threading.Thread(target=keep_busy) for _ in range(6)]
    for thread in busy:
        thread.start()
    try:
        found = run(answer_s=0.001)
    finally:
        over.set()
        for thread in busy:
            thread.join()
    assert found.invalid != ()
    assert all("the load generator" in why for why in found.invalid)


def test_a_slow_server_is_no_doubt_about_the_generator() -> None:
    found = run(answer_s=1.5)
    assert found.latency is not None
    assert found.latency.p50_ms >= 1500
    assert found.invalid == ()


def test_a_machine_without_open_files_is_doubted_and_not_the_server() -> None:
    async def answer(_: Payload) -> Answer:
        return Answer("OSError: [Errno 24] Too many open files", kind=LACKING)

    sender = Sender(server=Answering(answer), request_timeout_s=5, measured=Measured())
    load = OpenLoop(rate_rps=100, duration_s=0.05)
    asyncio.run(drive(sender, load))
    assert "5 requests were not sent, for want of open files" in " ".join(
        result_of(load, sender.measured).invalid
    )
