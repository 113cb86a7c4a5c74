"""Cold start: from the start of the container to an open port, a ready model and a first good answer."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pipeline.errors import StageFailed
from pipeline.model import ColdStart
from stages.servers.asking import asked
from stages.servers.causes import LONGER
from stages.servers.interface import LOOPBACK, TIMEOUT, Answer, ModelServer, Target

ASK_EVERY_S = 0.02
SAY_EVERY_S = 1.0
HELD_S = 0.05  # an engine's proxy accepts for a server that does not listen yet, and hangs up at once
CERTAINLY_HELD_S = 1.0  # a busy machine's proxy may take its time to hang up
NOT_LISTENING = "nothing listens at its port"
ADVICE_S = 5.0  # a server that is not ready may not answer anything else either
FAILING_FIRST_S = 10.0  # how long a ready server may still answer its first request by a failure of its own


class NotReady(Exception):
    """The deadline passed; the message says what was missing, the advice what to do about it."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class PortClosed(NotReady):
    """Until the deadline nothing listened at the port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """When the container was started, and until when it must be ready; of time.perf_counter."""

    started: float
    timeout_s: float
    say: Callable[[str], None]

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self.started + self.timeout_s - time.perf_counter()

    def since_start_ms(self) -> float:
        """Milliseconds since the container was started."""
        return (time.perf_counter() - self.started) * 1000


async def cold_start(server: ModelServer, target: Target, clock: Clock) -> ColdStart:
    """Wait for each step in turn.

    Raises:
        NotReady: the deadline passed before the model was ready.
        StageFailed: the model is ready, but not even one inference works.
    """
    port_open_ms = await until_open(target.host, target.port, clock)
    try:
        live_ms = await _until_live(server, clock)
        ready_ms = await _until_ready(server, clock)
    except NotReady:
        if await is_open(target.host, target.port, CERTAINLY_HELD_S):
            raise
        raise PortClosed(NOT_LISTENING) from None
    await server.prepare()
    await _first_answer(server, clock)
    return ColdStart(
        port_open_ms=port_open_ms,
        live_ms=live_ms,
        ready_ms=ready_ms,
        first_answer_ms=clock.since_start_ms(),
    )


async def until_open(host: str, port: int, clock: Clock, beside: str = "") -> float:
    """Return when somebody listened, in milliseconds since the start; `beside` names who is not the server.

    Raises:
        PortClosed: nobody did until the deadline.
        StageFailed: the same, of a container beside the server.
    """
    narrator = _Narrator(clock)
    while True:
        asked_ms = clock.since_start_ms()
        if await is_open(host, port):
            return asked_ms
        if clock.left_s <= 0 and beside:
            raise StageFailed(
                f"{beside}, which runs beside the server, did not listen at its port within "
                f"{clock.timeout_s:g} s",
                advice="See `benchmark.sidecars`: its `port`, and that it listens on 0.0.0.0.",
            )
        if clock.left_s <= 0:
            raise PortClosed(NOT_LISTENING)
        narrator.wait_for(f"{beside}: {NOT_LISTENING}" if beside else NOT_LISTENING)
        await asyncio.sleep(ASK_EVERY_S)


async def _until_live(server: ModelServer, clock: Clock) -> float:
    return await _until(server.unlive, "it did not say whether it is live", server, clock)


async def _until_ready(server: ModelServer, clock: Clock) -> float:
    return await _until(server.unready, "it did not say whether the model is ready", server, clock)


async def _until(ask: Callable[[], Awaitable[str]], missing: str, server: ModelServer, clock: Clock) -> float:
    narrator = _Narrator(clock)
    while True:
        try:
            async with asyncio.timeout(clock.left_s):
                missing = await ask()
        except TimeoutError:
            raise NotReady(missing, await _advice(server)) from None
        if not missing:
            return clock.since_start_ms()
        if clock.left_s <= 0:
            raise NotReady(missing, await _advice(server))
        narrator.wait_for(missing)
        await asyncio.sleep(ASK_EVERY_S)


async def _advice(server: ModelServer) -> str:
    try:
        async with asyncio.timeout(ADVICE_S):
            return await server.advise()
    except TimeoutError:
        return LONGER


async def _first_answer(server: ModelServer, clock: Clock) -> None:
    """Wait for a good answer; a server that fails may recover for some seconds, one that refuses may not."""
    narrator = _Narrator(clock)
    give_up = time.perf_counter() + min(FAILING_FIRST_S, max(clock.left_s, 1.0))
    while True:
        answer = await _try_once(server, clock)
        if not answer.error:
            return
        if not answer.temporary or time.perf_counter() > give_up:
            raise StageFailed(
                f"the model is ready, but the first inference does not work: {answer.error}",
                advice="Name a JSON file with a request that the model understands by `benchmark.request`, "
                "and the model by `benchmark.model`.",
            )
        narrator.wait_for(f"the first inference answers {answer.error}")
        await asyncio.sleep(ASK_EVERY_S)


async def _try_once(server: ModelServer, clock: Clock) -> Answer:
    answer = await asked(server, server.payloads[0], max(clock.left_s, 1.0))
    if answer.kind == TIMEOUT:
        return Answer(f"no answer until the deadline of {clock.timeout_s:g} s")
    return answer


async def is_open(host: str, port: int, held_s: float = HELD_S) -> bool:
    """Tell whether somebody listens there, and not only a proxy that hangs up at once."""
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    try:
        async with asyncio.timeout(held_s):
            return await reader.read(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def refuse_taken(port: int) -> None:
    """Refuse a port of this machine at which somebody listens already.

    Raises:
        StageFailed: so it is.
    """
    if asyncio.run(is_open(LOOPBACK, port)):
        raise StageFailed(
            f"port {port} of this machine is taken, so the server in the container could not have it",
            advice="Stop what listens there, or set `benchmark.network: publish`.",
        )


class _Narrator:
    """Says what is waited for, about once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next = 0.0

    def wait_for(self, missing: str) -> None:
        now = time.perf_counter()
        if now >= self._next:
            self._next = now + SAY_EVERY_S
            clock = self._clock
            self._clock.say(
                f"waiting for the server, {now - clock.started:.0f} of {clock.timeout_s:.0f} s: {missing}"
            )
