"""What Triton makes of tensors of every kind, by each form of the protocol."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import requests

from pipeline.errors import StageFailed
from stages.servers import PROTOCOLS
from stages.servers.interface import Answer, ModelServer, Payload, Target
from tests.support.engine import Engine
from tests.support.model_servers.examples import prepare
from tests.support.model_servers.running import running, wait_for

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

T = TypeVar("T")
REPOSITORY = Path(__file__).parents[1] / "data" / "triton"
PROTOCOL_PORTS = {"v2": 8000, "v2-binary": 8000, "v2-grpc": 8001}
METRICS = 8002

TENSORS: dict[str, tuple[list[int], list[object]]] = {
    "BOOL": ([1, 2], [True, False]),
    "UINT8": ([1, 3], [1, 2, 255]),
    "INT64": ([1, 1], [-(2**53)]),
    "FP32": ([1, 2, 2], [1.5, -2.5, 3.25, 1e-3]),
    "FP64": ([1, 1], [1e-300]),
    "BYTES": ([1, 1], ["größe \N{GRINNING FACE}"]),
}
REQUEST = {
    "inputs": [
        {"name": kind, "datatype": kind, "shape": shape, "data": data}
        for kind, (shape, data) in TENSORS.items()
    ]
}
ECHO = {"outputs": [{"name": f"out_{kind}", "data": data} for kind, (_, data) in TENSORS.items()]}


@pytest.fixture(scope="module")
def triton(engine: Engine, base_image: str) -> Iterator[dict[int, int]]:
    """Triton with two models: `echo` gives its inputs back, and so does `half`, in FP16."""
    folder = prepare("triton")
    with running(engine, folder, f"{REPOSITORY}:/models:ro", (8000, 8001, METRICS)) as ports:
        wait_for(f"http://127.0.0.1:{ports[8000]}/v2/health/ready")
        yield ports


def talk(
    ports: dict[int, int],
    protocol: str,
    scene: Callable[[ModelServer], Awaitable[T]],
    model: str | None = "echo",
    payloads: tuple[Payload, ...] = (),
) -> T:
    async def play() -> T:
        target = Target(port=ports[PROTOCOL_PORTS[protocol]], model=model, image="digits", payloads=payloads)
        async with PROTOCOLS[protocol].connect(target) as server:
            return await scene(server)

    return asyncio.run(play())


async def first_answer(server: ModelServer) -> Answer:
    assert await server.unready() == ""
    await server.prepare()
    return await server.infer(server.payloads[0])


@pytest.mark.parametrize("protocol", PROTOCOL_PORTS)
def test_every_kind_of_tensor_comes_back_as_it_was(triton: dict[int, int], protocol: str) -> None:
    async def scene(server: ModelServer) -> tuple[str, str]:
        answer = await first_answer(server)
        assert answer.error == ""
        wrong = json.dumps(ECHO).replace("-2.5", "-2.6").encode()
        return server.same(json.dumps(ECHO).encode(), answer.body), server.same(wrong, answer.body)

    payload = Payload(body=json.dumps(REQUEST).encode())
    same, wrong = talk(triton, protocol, scene, payloads=(payload,))
    assert same == ""
    assert wrong == "outputs.out_FP32[1] is -2.5, not -2.6"


@pytest.mark.parametrize("protocol", PROTOCOL_PORTS)
def test_a_request_is_made_for_free_and_batch_dimensions(triton: dict[int, int], protocol: str) -> None:
    assert talk(triton, protocol, first_answer).error == ""


@pytest.mark.parametrize("protocol", PROTOCOL_PORTS)
def test_half_floats_go_as_bytes_alone(triton: dict[int, int], protocol: str) -> None:
    answer = talk(triton, protocol, first_answer, model="half")
    assert ("FP16 data via JSON is not supported" in answer.error) == (protocol == "v2")


@pytest.mark.parametrize("protocol", PROTOCOL_PORTS)
def test_one_of_several_models_has_to_be_named(triton: dict[int, int], protocol: str) -> None:
    with pytest.raises(StageFailed, match="the server has several models: echo, half"):
        talk(triton, protocol, first_answer, model=None)

    async def scene(server: ModelServer) -> str:
        assert await server.unready()
        return await server.advise()

    advice = talk(triton, protocol, scene, model="third")
    assert advice == "Mend `benchmark.model`: the server has echo, half, and no third."


@pytest.mark.parametrize("protocol", PROTOCOL_PORTS)
def test_triton_counts_the_same_requests(triton: dict[int, int], protocol: str) -> None:
    async def scene(server: ModelServer) -> None:
        await first_answer(server)
        payload = replace(server.payloads[0], name="again", expected=b"{}")  # as under load
        answers = await asyncio.gather(*(server.infer(payload) for _ in range(19)))
        assert {answer.error for answer in answers} == {""}

    before = counted(triton)
    talk(triton, protocol, scene)
    assert counted(triton) - before == 20


def counted(ports: dict[int, int]) -> int:
    """Return how many requests Triton says that `echo` has answered."""
    metrics = requests.get(f"http://127.0.0.1:{ports[METRICS]}/metrics", timeout=10).text
    found = re.search(r'^nv_inference_request_success\{model="echo".*\} (\d+)', metrics, re.MULTILINE)
    return int(found[1]) if found is not None else 0
