"""The load generator against servers whose behaviour is known: it must tell the truth about them."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from stages.load.measured import Measured
from stages.load.open_loop import NOT_SENT, OpenLoop, drive
from stages.load.sending import Sender
from stages.load.validity import doubts
from stages.servers.interface import GOOD, Answer, Payload
from tests.support.answering import Answering, Infer

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(answer: Infer, load: OpenLoop, request_timeout_s: float = 5) -> Measured:
    sender = Sender(server=Answering(answer), request_timeout_s=request_timeout_s, measured=Measured())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(drive(sender, load))
    return sender.measured


class StallingServer:
    """Echoes a byte at once, but stands still for the first half second of every two."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while byte := await reader.read(1):
            phase = (time.perf_counter() - self._begin) % 2.0
            if phase < 0.5:
                await asyncio.sleep(0.5 - phase)
            writer.write(byte)
            await writer.drain()
        writer.close()


async def drive_stalling_server(load: OpenLoop) -> Measured:
    stalling = StallingServer()
    server = await asyncio.start_server(stalling.handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    # One connection with one request at a time: the closed loop that hides a stall in most generators.
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    turn = asyncio.Lock()

    async def answer(_: Payload) -> Answer:
        async with turn:
            writer.write(b"x")
            await reader.readexactly(1)
        return GOOD

    sender = Sender(server=Answering(answer), request_timeout_s=5, measured=Measured())
    async with server:
        await drive(sender, load)
        writer.close()
        await writer.wait_closed()
    return sender.measured


def test_a_stall_shows_in_the_latency_of_all_that_fell_due_in_it() -> None:
    load = OpenLoop(rate_rps=100, duration_s=4)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(drive_stalling_server(load))
    latency = measured.latencies.summary()
    assert latency is not None
    # A quarter of all requests falls into a stall and waits between 0 and 500 ms: p90 is 300, p99 is 480 ms.
    assert latency.p90_ms == pytest.approx(300, abs=100)
    assert latency.p99_ms == pytest.approx(480, abs=100)
    assert latency.p50_ms < 100
    assert measured.good == load.requests == 400


def test_what_is_due_is_sent_while_others_wait() -> None:
    async def answer(_: Payload) -> Answer:
        await asyncio.sleep(0.5)
        return GOOD

    measured = run(answer, OpenLoop(rate_rps=100, duration_s=0.5), 5)
    assert measured.good == 50
    assert measured.elapsed_s < 5  # one after the other would have taken 25 s


def test_the_wait_for_a_free_slot_counts_as_latency_and_not_as_lag() -> None:
    async def answer(_: Payload) -> Answer:
        await asyncio.sleep(0.1)
        return GOOD

    measured = run(answer, OpenLoop(rate_rps=100, duration_s=0.2, in_flight=1), 10)
    # The last of 20 was due after 190 ms and began after 1,900 ms.
    assert measured.latencies.percentile_ms(100) > 1500
    assert measured.service.percentile_ms(100) < 1000
    assert measured.send_lag_p99_ms < 500


def test_requests_without_a_timely_answer_are_errors_and_count_with_their_wait() -> None:
    async def answer(_: Payload) -> Answer:
        await asyncio.sleep(60)
        return GOOD

    measured = run(answer, OpenLoop(rate_rps=50, duration_s=0.2), 0.3)
    assert measured.good == 0
    assert measured.errors == {"no answer within 0.3 s": 10}
    assert measured.latencies.percentile_ms(0) >= 299
    assert "none of 10 requests got a good answer" in doubts(measured)


def test_a_server_that_never_catches_up_ends_the_load_all_the_same() -> None:
    async def answer(_: Payload) -> Answer:
        await asyncio.sleep(60)
        return GOOD

    load = OpenLoop(rate_rps=100, duration_s=0.2, in_flight=2)
    measured = run(answer, load, 0.2)
    assert measured.failed == load.requests == 20
    assert measured.errors[NOT_SENT] > 0
    # What was never sent has waited for longer than any request may: without it, the others look quick.
    assert len(measured.latencies) == 20
    assert measured.latencies.percentile_ms(0) >= 199


def test_a_wrong_answer_is_an_error_and_no_latency() -> None:
    answers = iter([GOOD, Answer("500 broken"), GOOD, Answer("500 broken")])

    async def answer(_: Payload) -> Answer:
        return next(answers)

    measured = run(answer, OpenLoop(rate_rps=100, duration_s=0.04), 1)
    assert (measured.good, measured.errors, len(measured.latencies)) == (2, {"500 broken": 2}, 2)


def test_whatever_a_protocol_raises_is_one_error() -> None:
    async def answer(_: Payload) -> Answer:
        raise ValueError("odd")

    measured = run(answer, OpenLoop(rate_rps=100, duration_s=0.03), 1)
    assert measured.errors == {"ValueError: odd": 3}


def test_a_server_that_keeps_up_shows_the_rate_however_long_an_answer_takes() -> None:
    async def answer(_: Payload) -> Answer:
        await asyncio.sleep(0.5)
        return GOOD

    measured = run(answer, OpenLoop(rate_rps=50, duration_s=1))
    # The last answer came half a second after the end: 33/s, were the wait for the first one counted too.
    assert measured.answered_at - measured.first_answer_at < measured.elapsed_s + 1e-6
    assert measured.good / measured.elapsed_s > 40
