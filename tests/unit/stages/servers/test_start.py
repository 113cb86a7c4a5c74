"""Cold start: each step is waited for, and its absence named."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from pipeline.errors import StageFailed
from pipeline.model import ColdStart
from stages.servers.interface import GOOD, Answer, Payload, Target
from stages.servers.start import Clock, NotReady, PortClosed, cold_start, is_open

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Scripted:
    """A model server that needs so many questions to be ready, and answers by a script."""

    model: str | None = "m"

    def __init__(self, *answers: Answer, questions: int = 0) -> None:
        self._answers = list(answers) or [GOOD]
        self._questions = questions
        self.prepared = False
        self.payloads = (Payload(body=b"{}"),)

    async def unlive(self) -> str:
        return ""

    async def unready(self) -> str:
        self._questions -= 1
        return "the model loads" if self._questions >= 0 else ""

    async def advise(self) -> str:
        return "wait longer"

    async def prepare(self) -> None:
        self.prepared = True

    async def infer(self, payload: Payload) -> Answer:
        assert self.prepared
        assert payload in self.payloads
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def same(self, expected: bytes, answer: bytes) -> str:
        return "" if expected == answer else "not the same"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def start(server: Scripted, *, handle: Handle = serve, timeout_s: float = 5.0) -> tuple[ColdStart, list[str]]:
    said: list[str] = []

    async def play() -> ColdStart:
        async with await asyncio.start_server(handle, "127.0.0.1", 0) as listening:
            target = Target(port=listening.sockets[0].getsockname()[1])
            clock = Clock(started=time.perf_counter(), timeout_s=timeout_s, say=said.append)
            return await cold_start(server, target, clock)

    return asyncio.run(play()), said


def test_the_steps_come_one_after_the_other() -> None:
    steps, said = start(Scripted(questions=3))
    assert steps.live_ms is not None
    assert 0 < steps.port_open_ms < steps.live_ms < steps.ready_ms < steps.first_answer_ms
    assert any("the model loads" in line for line in said)


def test_a_server_that_never_becomes_ready_is_given_up_at_the_deadline() -> None:
    with pytest.raises(NotReady, match="the model loads") as raised:
        start(Scripted(questions=10_000), timeout_s=0.3)
    assert raised.value.advice == "wait longer"


def test_a_readiness_answer_that_never_comes_is_given_up_at_the_deadline() -> None:
    class Silent(Scripted):
        async def unready(self) -> str:
            await asyncio.sleep(60)
            return ""

    with pytest.raises(NotReady):
        start(Silent(), timeout_s=0.3)


def test_a_proxy_that_accepts_and_hangs_up_is_no_open_port() -> None:
    with pytest.raises(PortClosed, match="nothing listens"):
        start(Scripted(), handle=hang_up, timeout_s=0.3)


def test_a_server_that_fails_at_first_may_recover() -> None:
    failing = Answer("503 warming up", temporary=True)
    steps, said = start(Scripted(failing, failing, GOOD))
    assert steps.first_answer_ms > steps.ready_ms
    assert any("503 warming up" in line for line in said)


def test_a_request_that_is_refused_is_not_repeated() -> None:
    with pytest.raises(StageFailed, match="400 bad shape") as raised:
        start(Scripted(Answer("400 bad shape"), GOOD))
    assert "benchmark.request" in raised.value.advice


def test_a_server_that_goes_on_failing_is_given_up() -> None:
    with pytest.raises(StageFailed, match="500 broken"):
        start(Scripted(Answer("500 broken", temporary=True)), timeout_s=0.2)


def test_a_port_that_nobody_listens_at_is_closed() -> None:
    assert not asyncio.run(is_open("127.0.0.1", 1))


def test_a_proxy_that_takes_its_time_to_hang_up_is_no_server_that_is_silent() -> None:
    async def hang_up_late(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.close()

    with pytest.raises(PortClosed, match="nothing listens"):
        start(Scripted(questions=10_000), handle=hang_up_late, timeout_s=0.3)


def test_an_answer_that_breaks_its_protocol_is_told_and_is_no_crash() -> None:
    class Breaking(Scripted):
        async def infer(self, payload: Payload) -> Answer:
            raise RecursionError("maximum recursion depth exceeded")

    with pytest.raises(StageFailed, match="the first inference does not work: RecursionError"):
        start(Breaking())
