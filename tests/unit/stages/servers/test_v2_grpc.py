"""The protocol over gRPC, against a real gRPC server whose model doubles its input."""

import asyncio
import json
import os
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc.aio
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from pipeline.errors import StageFailed
from stages.servers.interface import Answer, ModelServer, Payload, Target
from stages.servers.v2_grpc import GrpcInference

T = TypeVar("T")


class Doubling(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated, untyped
    def __init__(self, *, raw: bool = True, loading: int = 0, models: tuple[str, ...] | None = None) -> None:
        self.raw = raw
        self.loading = loading
        self.models = models

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.loading -= 1
        return service_pb2.ServerReadyResponse(ready=self.loading < 0)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.name == "dull":
            return service_pb2.ModelReadyResponse(ready=False)
        if request.name != "double":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        return service_pb2.ModelReadyResponse(ready=True)

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        if self.models is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no list here")
        response = service_pb2.RepositoryIndexResponse()
        for version in ("1", "2"):
            for name in self.models or ():
                response.models.add(name=name, version=version)
        return response

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        response = service_pb2.ModelMetadataResponse(name="double")
        response.inputs.add(name="x", datatype="FP32", shape=[-1, 2])
        return response

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        numbers = struct.unpack("<2f", request.raw_input_contents[0])
        if numbers == (9.0, 9.0):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no nines")
        response = service_pb2.ModelInferResponse(model_name="double", id=request.id)
        output = response.outputs.add(name="y", datatype="FP32", shape=[1, 2])
        doubled = [2 * number for number in numbers]
        if self.raw:
            response.raw_output_contents.append(struct.pack("<2f", *doubled))
        else:
            output.contents.fp32_contents.extend(doubled)
        return response


def talk(servicer: Doubling, scene: Callable[[ModelServer], Awaitable[T]], **wanted: Any) -> T:
    async def play() -> T:
        server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with GrpcInference().connect(Target(port=port, **{"model": "double", **wanted})) as found:
                return await scene(found)
        finally:
            await server.stop(None)

    return asyncio.run(play())


def of(*numbers: float) -> Payload:
    inputs = [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [*numbers]}]
    return Payload(body=json.dumps({"inputs": inputs}).encode(), name="request.json")


async def first_inference(server: ModelServer) -> Answer:
    assert await server.unlive() == ""
    while await server.unready():
        await asyncio.sleep(0)
    await server.prepare()
    return await server.infer(server.payloads[0])


def test_a_request_is_made_from_the_metadata_once_the_model_is_ready() -> None:
    answer = talk(Doubling(loading=2), first_inference)
    assert answer.error == ""
    assert answer.body


@pytest.mark.parametrize("raw", [True, False])
def test_the_answer_is_compared_by_its_numbers(raw: bool) -> None:
    async def scene(server: ModelServer) -> list[str]:
        answer = await first_inference(server)
        right, wrong = ({"outputs": [{"name": "y", "data": data}]} for data in ([3.0, 5.0], [3.0, 6.0]))
        return [
            server.same(answer.body, answer.body),
            server.same(json.dumps(right).encode(), answer.body),
            server.same(json.dumps(wrong).encode(), answer.body),
        ]

    found = talk(Doubling(raw=raw), scene, payloads=(of(1.5, 2.5),))
    assert found == ["", "", "outputs.y[1] is 5.0, not 6.0"]


def test_a_refused_request_is_an_error_of_its_own_kind() -> None:
    answer = talk(Doubling(), first_inference, payloads=(of(9, 9),))
    assert (answer.kind, answer.temporary) == ("gRPC INVALID_ARGUMENT", False)
    assert "no nines" in answer.error


def test_a_model_that_nobody_knows_is_said_with_advice() -> None:
    async def scene(server: ModelServer) -> tuple[str, str]:
        return await server.unready(), await server.advise()

    missing, advice = talk(Doubling(), scene, model="triple")
    assert missing == "triple: NOT_FOUND no such model"
    assert "Mend `benchmark.model`" in advice


@pytest.mark.parametrize(
    ("models", "wanted", "image"),
    [
        (("double",), None, "digits"),  # the only one
        (("double", "digits"), None, "double"),  # the one that is called like the image
        (None, None, "double"),  # a server that does not list its models
        (None, "double", "digits"),
    ],
)
def test_the_model_is_found_by_the_servers_list(
    models: tuple[str, ...] | None, wanted: str | None, image: str
) -> None:
    assert talk(Doubling(models=models), first_inference, model=wanted, image=image).error == ""


def test_several_models_need_a_name() -> None:
    with pytest.raises(StageFailed, match="the server has several models: double, other") as raised:
        talk(Doubling(models=("other", "double")), first_inference, model=None, image="digits")
    assert "benchmark.model" in raised.value.advice


@pytest.mark.parametrize("model", ["triple", "dull"])
def test_the_models_that_there_are_stand_in_the_advice(model: str) -> None:
    async def scene(server: ModelServer) -> str:
        assert await server.unready()
        return await server.advise()

    advice = talk(Doubling(models=("double",)), scene, model=model)
    assert advice == f"Mend `benchmark.model`: the server has double, and no {model}."


def test_data_that_do_not_fit_are_refused_before_the_load() -> None:
    with pytest.raises(StageFailed, match="cannot make a request for double: x: the data are no FP32"):
        talk(Doubling(), first_inference, payloads=(Payload(body=of().body.replace(b"[]", b'["a", 1]')),))


@pytest.mark.parametrize("golden", [b"[1]", b'{"outputs": 5}', b'{"outputs": [7]}'])
def test_an_expected_answer_that_is_none_is_said_to_be_none(golden: bytes) -> None:
    async def scene(server: ModelServer) -> str:
        return server.same(golden, (await first_inference(server)).body)

    assert talk(Doubling(), scene) == "the expected answer has no `outputs`"


def test_a_shape_that_is_none_is_refused_before_the_load() -> None:
    body = of(1, 2).body.replace(b"[1, 2]", b'["1", 2]', 1)
    with pytest.raises(StageFailed, match=r"x: the shape .* is no list of whole numbers"):
        talk(Doubling(), first_inference, payloads=(Payload(body=body),))


PROXIED = """
import asyncio
from tests.unit.stages.servers.test_v2_grpc import Doubling, first_inference, talk
print(repr(talk(Doubling(), first_inference).error))
"""


def test_a_proxy_for_the_web_has_no_part_in_it() -> None:
    nowhere = "http://127.0.0.1:1"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), nowhere)
    environment = {**{k: v for k, v in os.environ.items() if "proxy" not in k.lower()}, **proxies}
    command = [sys.executable, "-c", PROXIED]
    probe = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert probe.stdout == "''\n", probe.stderr
