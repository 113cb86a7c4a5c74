"""One request to a server of any protocol: whatever the protocol raises is an answer too, and ends no run."""

import asyncio
import time
from dataclasses import replace

from stages.servers.interface import TIMEOUT, Answer, ModelServer, Payload


async def asked(server: ModelServer, payload: Payload, timeout_s: float) -> Answer:
    """Return the answer and when it had come; no answer in time is an error, and what is raised another."""
    try:
        async with asyncio.timeout(timeout_s):
            answer = await server.infer(payload)
    except TimeoutError:
        return Answer(f"no answer within {timeout_s:g} s", kind=TIMEOUT, at=time.perf_counter())
    except (
        Exception
    ) as error:  # a protocol from elsewhere may raise anything, and a hostile answer may make it
        return Answer(f"{type(error).__name__}: {error}", kind=type(error).__name__)
    return answer if answer.at else replace(answer, at=time.perf_counter())


def compared(server: ModelServer, expected: bytes, answer: bytes) -> str:
    """Return how an answer differs from the expected one; one that cannot be read is another one."""
    try:
        return server.same(expected, answer)
    except Exception as error:
        return f"it cannot be compared: {type(error).__name__}: {error}"
