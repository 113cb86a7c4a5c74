"""The Open Inference Protocol over gRPC: Triton, KServe, MLServer and others.

Messages and stubs are those of NVIDIA's client (extra `grpc`). Requests are written as JSON all the same;
they are turned into messages once, before the load.
Source: the protocol's gRPC specification (open-inference/open-inference-protocol, open_inference_grpc.proto).
"""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from pipeline.errors import StageFailed, ToolMissing
from stages.servers.causes import LONGER
from stages.servers.expectations import Tolerance
from stages.servers.http_client import excerpt, parsed
from stages.servers.interface import Answer, ModelServer, Payload, Target
from stages.servers.tensors import Tensor
from stages.servers.v2 import choose, other_model
from stages.servers.v2_request import GENERATED_ID, inputs_of, outputs_differ, problem_of, request_from

QUESTION_S = 5
LARGEST_MESSAGE = 2**31 - 1


class GrpcInference:
    """Speaks the Open Inference Protocol version 2 over gRPC."""

    options: ClassVar[frozenset[str]] = frozenset()
    problem_of = staticmethod(problem_of)

    @asynccontextmanager
    async def connect(self, target: Target) -> AsyncIterator[ModelServer]:
        """Lend the server at the target; its channel is closed at the end.

        Raises:
            ToolMissing: the extra `grpc` is not installed.
        """
        try:
            import grpc.aio
            from tritonclient.grpc import service_pb2, service_pb2_grpc
        except ImportError as error:
            raise ToolMissing(
                f"`benchmark.protocol: v2-grpc` needs what is not installed: {error.name}",
                advice="Install the extra: pip install 'model-image-pipeline[grpc]'.",
            ) from error
        options = [
            ("grpc.max_send_message_length", LARGEST_MESSAGE),
            ("grpc.max_receive_message_length", LARGEST_MESSAGE),
            (
                "grpc.enable_http_proxy",
                0,
            ),  # the server is beside us, whatever the environment says of the web
        ]
        async with grpc.aio.insecure_channel(target.authority, options=options) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            yield _Server(stub, service_pb2, target)


class _Server:
    def __init__(self, stub: Any, messages: Any, target: Target) -> None:  # generated code has no types
        self._stub = stub
        self._messages = messages
        self._image = target.image
        self._tolerance = Tolerance.of(target.tolerance)
        self._missed = ""
        self.payloads = target.payloads
        self.model = target.model

    async def unlive(self) -> str:
        return await self._ask(self._stub.ServerLive(self._messages.ServerLiveRequest(), timeout=QUESTION_S))

    async def unready(self) -> str:
        ready = self._messages.ServerReadyRequest()
        missing = await self._ask(self._stub.ServerReady(ready, timeout=QUESTION_S), "ready")
        if not missing and self.model is None:
            names = await self._list()
            self.model = choose([self._image] if names is None else names, self._image)
            missing = "" if self.model is not None else "the server lists no model yet"
        if not missing:
            of_model = self._messages.ModelReadyRequest(name=self.model)
            missing = await self._ask(self._stub.ModelReady(of_model, timeout=QUESTION_S), "ready")
            missing = missing and f"{self.model}: {missing}"
        self._missed = missing or self._missed
        return missing

    async def advise(self) -> str:
        unknown = "NOT_FOUND" in self._missed
        if unknown or self._missed.startswith(
            f"{self.model}: it says"
        ):  # Triton's word for an unknown one too
            return other_model(self.model, await self._list(), unknown=unknown)
        if "UNIMPLEMENTED" in self._missed or "UNAVAILABLE" in self._missed:
            return f"Is `benchmark.port` for gRPC (8001 for Triton, 8081 for MLServer and KServe)? {LONGER}"
        return f"Its log may say what it waits for. {LONGER}"

    async def prepare(self) -> None:
        try:
            if not self.payloads:
                self.payloads = (Payload(body=request_from(await self._metadata())),)
            self._requests = {payload.body: self._message(payload) for payload in self.payloads}
        except ValueError as error:
            raise StageFailed(
                f"cannot make a request for {self.model}: {error}",
                advice="Write an inference request into a JSON file and name it by `benchmark.request`.",
            ) from error

    async def infer(self, payload: Payload) -> Answer:
        import grpc.aio

        try:
            response = await self._stub.ModelInfer(self._requests[payload.body])
        except grpc.aio.AioRpcError as error:
            name = error.code().name
            temporary = name in {"UNAVAILABLE", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED"}
            return Answer(_said(error), temporary=temporary, kind=f"gRPC {name}")
        at = time.perf_counter()
        if not response.outputs:
            return Answer("an answer without outputs", kind="form")
        return Answer(body=response.SerializeToString(), at=at)

    def same(self, expected: bytes, answer: bytes) -> str:
        return outputs_differ(self._outputs(expected), self._outputs(answer), self._tolerance)

    async def _ask(self, question: Any, field: str = "live") -> str:
        import grpc.aio

        try:
            answer = await question
        except grpc.aio.AioRpcError as error:
            return _said(error)
        return "" if getattr(answer, field) else f"it says that it is not {field}"

    async def _list(self) -> list[str] | None:
        """Return the names of the models, or None where the server does not list them."""
        import grpc.aio

        question = self._messages.RepositoryIndexRequest()
        try:
            index = await self._stub.RepositoryIndex(question, timeout=QUESTION_S)
        except grpc.aio.AioRpcError:  # the list is an extension of the protocol
            return None
        return [*dict.fromkeys(model.name for model in index.models)]

    async def _metadata(self) -> dict[str, object]:
        import grpc.aio

        try:
            found = await self._stub.ModelMetadata(
                self._messages.ModelMetadataRequest(name=self.model), timeout=QUESTION_S
            )
        except grpc.aio.AioRpcError as error:
            raise ValueError(f"ModelMetadata: {_said(error)}") from error
        inputs = [{"name": one.name, "datatype": one.datatype, "shape": [*one.shape]} for one in found.inputs]
        return {"inputs": inputs}

    def _message(self, payload: Payload) -> Any:
        tensors = inputs_of(payload)
        document = parsed(payload.body)
        identity = document.get("id", GENERATED_ID) if isinstance(document, dict) else GENERATED_ID
        request = self._messages.ModelInferRequest(model_name=self.model, id=str(identity))
        for tensor in tensors:
            request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            request.raw_input_contents.append(tensor.raw)
        return request

    def _outputs(self, kept: bytes) -> object:
        """Return the outputs of an answer with their data as lists; an expectation may be written as JSON."""
        if isinstance(document := parsed(kept), dict | list):
            return document.get("outputs") if isinstance(document, dict) else None
        response = self._messages.ModelInferResponse.FromString(kept)
        found = []
        for index, output in enumerate(response.outputs):
            raw = response.raw_output_contents
            if index < len(raw):
                shape = tuple(output.shape)
                tensor = Tensor(name=output.name, datatype=output.datatype, shape=shape, raw=raw[index])
                data: list[Any] = tensor.values()
            else:
                data = [*_contents(output)]
            found.append({"name": output.name, "data": data})
        return found


def _said(error: Any) -> str:
    """Return a call's error in a few words."""
    return f"{error.code().name} {excerpt(str(error.details() or '').encode())}".strip()


def _contents(output: Any) -> Iterator[object]:
    """Yield the elements of an output that did not come as bytes."""
    for _, values in output.contents.ListFields():
        for value in values:
            yield value.decode(errors="replace") if isinstance(value, bytes) else value
