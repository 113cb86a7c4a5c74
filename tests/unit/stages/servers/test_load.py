"""The load generator against servers whose behaviour is known: it must tell the truth about them."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from stages.servers.interface import GOOD, Answer
from stages.servers.load import NOT_SENT, Load, Measured, doubts, drive, percentile, summarize

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(send: Callable[[], Awaitable[Answer]], load: Load) -> Measured:
    measured = Measured(due=load.requests)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(drive(send, load, measured))
    return measured


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


async def drive_stalling_server(load: Load) -> Measured:
    measured = Measured(due=load.requests)
    stalling = StallingServer()
    server = await asyncio.start_server(stalling.handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    # One connection with one request at a time: the closed loop that hides a stall in most generators.
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    turn = asyncio.Lock()

    async def send() -> Answer:
        async with turn:
            writer.write(b"x")
            await reader.readexactly(1)
        return GOOD

    async with server:
        await drive(send, load, measured)
        writer.close()
        await writer.wait_closed()
    return measured


def test_a_stall_shows_in_the_latency_of_all_that_fell_due_in_it() -> None:
    load = Load(rate_rps=100, duration_s=4, request_timeout_s=5)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(drive_stalling_server(load))
    latency = summarize(measured.latencies_ms)
    assert latency is not None
    # A quarter of all requests falls into a stall and waits between 0 and 500 ms: p90 is 300, p99 is 480 ms.
    assert sorted(measured.latencies_ms)[int(0.9 * load.requests)] == pytest.approx(300, abs=100)
    assert latency.p99_ms == pytest.approx(480, abs=100)
    assert latency.p50_ms < 100
    assert measured.good == load.requests == 400


def test_what_is_due_is_sent_while_others_wait() -> None:
    async def send() -> Answer:
        await asyncio.sleep(0.5)
        return GOOD

    measured = run(send, Load(rate_rps=100, duration_s=0.5, request_timeout_s=5))
    assert measured.good == 50
    assert measured.elapsed_s < 5  # one after the other would have taken 25 s


def test_the_wait_for_a_free_slot_counts_as_latency_and_not_as_lag() -> None:
    async def send() -> Answer:
        await asyncio.sleep(0.1)
        return GOOD

    measured = run(send, Load(rate_rps=100, duration_s=0.2, request_timeout_s=10, in_flight=1))
    # The last of 20 was due after 190 ms and began after 1,900 ms.
    assert max(measured.latencies_ms) > 1500
    assert max(measured.service_ms) < 1000
    assert measured.send_lag_p99_ms < 500


def test_requests_without_a_timely_answer_are_errors_and_count_with_their_wait() -> None:
    async def send() -> Answer:
        await asyncio.sleep(60)
        return GOOD

    measured = run(send, Load(rate_rps=50, duration_s=0.2, request_timeout_s=0.3))
    assert measured.good == 0
    assert measured.errors == {"no answer within 0.3 s": 10}
    assert min(measured.latencies_ms) >= 299
    assert "none of 10 requests got a good answer" in doubts(measured)


def test_a_server_that_never_catches_up_ends_the_load_all_the_same() -> None:
    async def send() -> Answer:
        await asyncio.sleep(60)
        return GOOD

    load = Load(rate_rps=100, duration_s=0.2, request_timeout_s=0.2, in_flight=2)
    measured = run(send, load)
    assert measured.failed == load.requests == 20
    assert measured.errors[NOT_SENT] > 0


def test_a_wrong_answer_is_an_error_and_no_latency() -> None:
    answers = iter([GOOD, Answer("500 broken"), GOOD, Answer("500 broken")])

    async def send() -> Answer:
        return next(answers)

    measured = run(send, Load(rate_rps=100, duration_s=0.04, request_timeout_s=1))
    assert (measured.good, measured.errors, len(measured.latencies_ms)) == (2, {"500 broken": 2}, 2)


def test_whatever_a_protocol_raises_is_one_error() -> None:
    async def send() -> Answer:
        raise ValueError("odd")

    measured = run(send, Load(rate_rps=100, duration_s=0.03, request_timeout_s=1))
    assert measured.errors == {"ValueError: odd": 3}


def test_errors_of_endless_variety_are_counted_without_keeping_them_all() -> None:
    measured = Measured(due=1000)
    for number in range(1000):
        measured.note(f"request {number}")
    assert measured.failed == 1000
    assert len(measured.errors) == 101


def test_percentiles_are_samples_by_nearest_rank() -> None:
    ordered = [float(number) for number in range(1, 201)]
    assert [percentile(ordered, percent) for percent in (0, 50, 95, 99, 100)] == [1, 100, 190, 198, 200]
    assert percentile([7.0], 99) == 7.0


def test_the_summary_has_the_exact_values() -> None:
    latency = summarize([float(number) for number in range(200, 0, -1)])
    assert latency is not None
    assert (latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.max_ms) == (100, 190, 198, 200)
    assert latency.mean_ms == 100.5
    assert summarize([]) is None


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (Measured(due=50, good=50, latencies_ms=[1.0] * 50), "the p99 of 50 answers"),
        (Measured(due=200, good=200, latencies_ms=[10.0] * 200, lags_ms=[25.0] * 200), "was late"),
        (Measured(due=200, good=200, latencies_ms=[1.0] * 200, generator_cpu=0.95), "used 95% of a core"),
    ],
    ids=["few", "late", "busy"],
)
def test_numbers_that_must_not_be_trusted_say_why(measured: Measured, words: str) -> None:
    (found,) = doubts(measured)
    assert words in found


def test_a_lag_that_is_small_beside_the_latency_is_no_doubt() -> None:
    measured = Measured(due=200, good=200, latencies_ms=[400.0] * 200, lags_ms=[25.0] * 200)
    assert doubts(measured) == ()
