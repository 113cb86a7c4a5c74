"""What is expected of answers under load: what the user says, else what the server says when asked alone."""

import time
from dataclasses import replace

from pipeline.errors import StageFailed
from stages.servers.asking import asked, compared
from stages.servers.interface import Answer, ModelServer, Payload

MOST_PAYLOADS = 100
LONGEST_S = 30.0
ALONE = "(compared with the answer when asked alone)"


async def with_expectations(
    server: ModelServer, request_timeout_s: float, *, compare: bool
) -> tuple[Payload, ...]:
    """Ask every payload alone, and return the payloads with the answers that are expected under load.

    Concurrency must not change an answer. Answers that differ even when asked alone, one after the other, are
    not compared. `compare` off leaves what the user expects, and nothing else.

    Raises:
        StageFailed: the server does not give an expected answer even when it is asked alone.
    """
    found = list(server.payloads)
    give_up = time.perf_counter() + LONGEST_S
    for number, payload in enumerate(found):
        if payload.expected is None and (not compare or number >= MOST_PAYLOADS):
            continue
        if time.perf_counter() > give_up:
            break
        first = await asked(server, payload, request_timeout_s)
        if payload.expected is not None:
            _refuse_wrong(server, payload, first)
        elif not first.error and first.body:
            second = await asked(server, payload, request_timeout_s)
            if not second.error and not compared(server, first.body, second.body):
                name = f"{payload.name or 'the request'} {ALONE}"
                found[number] = replace(payload, expected=first.body, name=name)
    return tuple(found)


def _refuse_wrong(server: ModelServer, payload: Payload, answer: Answer) -> None:
    if payload.expected is None or answer.error:  # an error under load is counted there
        return
    if difference := compared(server, payload.expected, answer.body):
        raise StageFailed(
            f"the server answers {payload.name or 'the request'} wrongly, although nothing else was asked: "
            f"{difference}",
            advice="Mend the model or the server; where the model was meant to change, mend the expected "
            "answer (`benchmark.expect`).",
        )
