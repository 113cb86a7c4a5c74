"""A web server of known truth, in a process of its own: what load generators say of it can be checked.

    python benchmarks/load_server.py     # prints its port; ends when its standard input does

`/once` answers at once. `/slow` answers after a delay of 10 to 19 ms from a fixed sequence. `/stall` answers
at once, but stands still for the first half second of every two. `/held` says for how long each request was
held since it was last asked, in seconds: from its last byte to the moment at which its answer was written;
from then on everything begins anew, so that each load meets the same delays.
`/v1/chat/completions` streams sixteen tokens at once. The paths below `/v2` are what NVIDIA's clients ask
before they send; an inference is held as by `/slow`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from typing import cast

import uvloop

SEED = 20_263
SHORTEST_S, LONGEST_S = 0.010, 0.019  # less than twice the mean: beyond that, wrk adds samples of its own
STALL_S, STALL_EVERY_S = 0.5, 2.0
MODEL = "digits"
TENSOR = {"name": "input", "datatype": "FP32", "shape": [1, 16]}
ANSWER = {"model_name": MODEL, "model_version": "1", "id": "benchmark"}
OUTPUT = {"name": "output", "datatype": "FP32", "shape": [1, 10], "data": [0.1] * 10}
INFERENCE = json.dumps(ANSWER | {"outputs": [OUTPUT]}).encode()
TOKENS = 16
WORDS = [{"choices": [{"index": 0, "delta": {"content": "word "}}]}] * TOKENS
EVENTS = [*WORDS, {"choices": [], "usage": {"completion_tokens": TOKENS}}]
STREAM = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in EVENTS) + b"data: [DONE]\n\n"
CONFIGURATION = {
    "name": MODEL,
    "platform": "onnxruntime_onnx",
    "max_batch_size": 0,
    "input": [{"name": "input", "data_type": "TYPE_FP32", "dims": [1, 16]}],
    "output": [{"name": "output", "data_type": "TYPE_FP32", "dims": [1, 10]}],
}
METADATA = {
    "name": MODEL,
    "versions": ["1"],
    "platform": "onnxruntime_onnx",
    "inputs": [TENSOR],
    "outputs": [{key: value for key, value in OUTPUT.items() if key != "data"}],
}
SAID = {
    "/v2": {"name": "benchmark", "version": "1", "extensions": ["model_configuration"]},
    f"/v2/models/{MODEL}": METADATA,
    f"/v2/models/{MODEL}/config": CONFIGURATION,
}


class Truth:
    """What all connections have in common."""

    def __init__(self) -> None:
        draw = random.Random(SEED)  # noqa: S311 - delays, no secrets
        self.delays = [draw.uniform(SHORTEST_S, LONGEST_S) for _ in range(10_007)]
        self.drawn = 0
        self.held: list[float] = []
        self.began = time.perf_counter()

    def delay_of(self, path: str) -> float:
        """Return for how long a request for a path is held."""
        if path == "/slow" or path.endswith("/infer"):
            self.drawn += 1
            return self.delays[self.drawn % len(self.delays)]
        if path == "/stall":
            return max(0.0, STALL_S - (time.perf_counter() - self.began) % STALL_EVERY_S)
        return 0.0

    def body_of(self, path: str) -> bytes:
        """Return what is answered."""
        if path == "/held":
            held, self.held, self.began = self.held, [], time.perf_counter()
            self.drawn = 0  # a load of 300 answers would else have a median of its own
            return json.dumps(held).encode()
        if path == "/v1/chat/completions":
            return STREAM
        return json.dumps(SAID[path]).encode() if path in SAID else INFERENCE


class Connection(asyncio.Protocol):
    """One client, one request at a time."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's knows no base classes

    def data_received(self, data: bytes) -> None:
        """Answer a request that is complete, when its delay is over."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._received = b""
        path = head.split(b" ", 2)[1].decode()
        now = time.perf_counter()
        if delay := self._truth.delay_of(path):
            asyncio.get_running_loop().call_later(delay, self._answer, path, now)
        else:
            self._answer(path, now)

    def _answer(self, path: str, received: float) -> None:
        body = self._truth.body_of(path)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        if path != "/held":
            self._truth.held.append(time.perf_counter() - received)
        if not self._transport.is_closing():
            self._transport.write(head.encode() + body)


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


async def serve() -> None:
    """Serve until the standard input ends."""
    truth = Truth()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(truth), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    gc.disable()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(serve())
