"""The Open Inference Protocol over HTTP with binary tensors, as Triton and others offer it.

A JSON header, whose length a header field tells, and behind it the tensors' bytes. Requests are written as
JSON all the same; they are turned into bytes once, before the load.
Source: the binary tensor data extension (triton-inference-server/server, protocol/extension_binary_data.md).
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import ClassVar

from pipeline.errors import StageFailed
from stages.servers.connections import connections_to
from stages.servers.http_client import ask, excerpt, object_in, objects_in, session_to, unsent
from stages.servers.interface import Answer, ModelServer, Payload, Target
from stages.servers.tensors import Tensor
from stages.servers.v2 import HttpServer
from stages.servers.v2_request import GENERATED_ID, inputs_of, outputs_differ, problem_of

LENGTH = "Inference-Header-Content-Length"
EXTENSION = "binary_tensor_data"
JSON_INSTEAD = (
    " (not every server takes binary tensors, MLServer does not: `benchmark.protocol: v2` sends JSON)"
)


class BinaryInference:
    """Speaks the Open Inference Protocol version 2 over HTTP, with binary tensors both ways."""

    options: ClassVar[frozenset[str]] = frozenset()
    problem_of = staticmethod(problem_of)

    @asynccontextmanager
    async def connect(self, target: Target) -> AsyncIterator[ModelServer]:
        """Lend the server at the target; every connection to it is closed at the end."""
        async with session_to(target) as session, connections_to(target) as connections:
            yield _BinaryServer(session, connections, target)


class _BinaryServer(HttpServer):
    """Sends bytes made once; an answer keeps its header in front, so that it can be read again."""

    async def prepare(self) -> None:
        """Turn the requests into bytes."""
        await super().prepare()
        _, about = await ask(self.session, "GET", "/v2")
        # Others take binary tensors too; MLServer breaks on them, with status 422 or 500.
        extensions = object_in(about).get("extensions")
        self._hint = "" if isinstance(extensions, list) and EXTENSION in extensions else JSON_INSTEAD
        try:
            self._sent = {payload.body: _packed(payload) for payload in self.payloads}
        except ValueError as error:
            raise StageFailed(
                f"the request cannot be sent as binary tensors: {error}",
                advice="Mend `benchmark.request`, or send it as JSON: `benchmark.protocol: v2`.",
            ) from error

    async def infer(self, payload: Payload) -> Answer:
        """Send one request."""
        header_bytes, body = self._sent[payload.body]
        headers = {LENGTH: str(header_bytes), "Content-Type": "application/octet-stream"}
        try:
            response = await self.connections.send(self.connections.request("POST", self.path, body, headers))
        except OSError as error:
            return unsent(error)
        if response.status != 200:
            return _refused(response.status, response.body, self._hint)
        answer = _judged(response.body, response.headers.get(LENGTH.lower().encode()))
        return replace(answer, at=response.at)

    def same(self, expected: bytes, answer: bytes) -> str:
        """Compare the outputs, whether they came as JSON or as bytes."""
        return outputs_differ(_outputs(expected), _outputs(answer), self.tolerance)


def _packed(payload: Payload) -> tuple[int, bytes]:
    """Return the length of the header, and the header with the tensors behind it."""
    tensors = inputs_of(payload)
    inputs = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
            "parameters": {"binary_data_size": len(tensor.raw)},
        }
        for tensor in tensors
    ]
    identity = object_in(payload.body).get("id", GENERATED_ID)
    document = {"id": identity, "parameters": {"binary_data_output": True}, "inputs": inputs}
    header = json.dumps(document).encode()
    return len(header), header + b"".join(tensor.raw for tensor in tensors)


def _refused(status: int, body: bytes, hint: str) -> Answer:
    said = f"{status} {excerpt(body)}".rstrip()
    return Answer(said + hint, temporary=status >= 500, kind=f"HTTP {status}")


def _judged(body: bytes, length: bytes | None) -> Answer:
    size = int(length) if length is not None and length.isdigit() else len(body)
    header = object_in(body[:size])
    outputs = objects_in(header.get("outputs"))
    if not outputs:
        return Answer(f"200 without outputs: {excerpt(body[:size])}", kind="form")
    promised = sum(_size(output) for output in outputs)
    if promised != len(body) - size:
        return Answer(f"200 with {len(body) - size} bytes of tensors, not {promised}", kind="form")
    return Answer(body=f"{size}\n".encode() + body)


def _size(output: dict[str, object]) -> int:
    parameters = output.get("parameters")
    size = parameters.get("binary_data_size", 0) if isinstance(parameters, dict) else 0
    return max(0, size) if isinstance(size, int) else 0


def _outputs(kept: bytes) -> object:
    """Return the outputs of an answer with their data as lists; an expectation may be written as JSON."""
    if not kept[:1].isdigit():
        document, rest = object_in(kept), b""
    else:
        size, _, body = kept.partition(b"\n")
        document, rest = object_in(body[: int(size)]), body[int(size) :]
    found = []
    for output in objects_in(document.get("outputs")):
        length = _size(output)
        raw, rest = rest[:length], rest[length:]
        name, datatype = str(output.get("name")), str(output.get("datatype"))
        tensor = Tensor(name=name, datatype=datatype, shape=(), raw=raw)  # compared without
        found.append({"name": name, "data": output["data"] if "data" in output else tensor.values()})
    return found
