"""Binary tensors over HTTP: a header of JSON and the bytes behind it, both ways."""

import json
import struct
from dataclasses import replace

import pytest
from aiohttp import web

from pipeline.errors import StageFailed
from stages.servers.interface import Answer, ModelServer, Payload
from stages.servers.v2_binary import LENGTH, BinaryInference
from tests.support.web_server import Handler, talk

REQUEST = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[1.5, 2.5]]}]}
PAYLOAD = Payload(body=json.dumps(REQUEST).encode())


def doubling(*, cut: int = 0, status: int = 200, as_json: bool = False) -> dict[str, Handler]:
    """Serve a model that doubles its input, as Triton would answer."""

    async def infer(request: web.Request) -> web.Response:
        body, size = await request.read(), int(request.headers[LENGTH])
        header = json.loads(body[:size])
        (tensor,) = header["inputs"]
        assert tensor["parameters"]["binary_data_size"] == len(body) - size == 8
        doubled = [2 * value for value in struct.unpack("<2f", body[size:])]
        output = {"name": "y", "datatype": "FP32", "shape": [1, 2]}
        if status != 200:
            return web.Response(status=status, text="no")
        if as_json:
            return web.json_response({"outputs": [{**output, "data": doubled}]})
        raw = struct.pack("<2f", *doubled)
        answer = json.dumps({"outputs": [{**output, "parameters": {"binary_data_size": len(raw)}}]}).encode()
        return web.Response(body=answer + raw[: len(raw) - cut], headers={LENGTH: str(len(answer))})

    return {"POST /v2/models/double/infer": infer}


async def first_inference(server: ModelServer) -> Answer:
    await server.prepare()
    return await server.infer(server.payloads[0])


@pytest.mark.parametrize("as_json", [False, True])
def test_the_answer_is_compared_by_its_numbers(as_json: bool) -> None:
    async def scene(server: ModelServer) -> list[str]:
        answer = await first_inference(server)
        assert answer.error == ""
        right, wrong = ({"outputs": [{"name": "y", "data": data}]} for data in ([3.0, 5.0], [3.0, 6.0]))
        return [
            server.same(answer.body, answer.body),
            server.same(json.dumps(right).encode(), answer.body),
            server.same(json.dumps(wrong).encode(), answer.body),
        ]

    found = talk(BinaryInference(), doubling(as_json=as_json), scene, payloads=(PAYLOAD,), model="double")
    assert found == ["", "", "outputs.y[1] is 5.0, not 6.0"]


@pytest.mark.parametrize(
    ("routes", "kind"),
    [(doubling(cut=4), "form"), (doubling(status=500), "HTTP 500"), (doubling(status=422), "HTTP 422")],
)
def test_an_answer_that_is_cut_or_refused_is_an_error(routes: dict[str, Handler], kind: str) -> None:
    answer = talk(BinaryInference(), routes, first_inference, payloads=(PAYLOAD,), model="double")
    assert (answer.kind, answer.temporary) == (kind, kind == "HTTP 500")


def test_a_request_that_is_no_tensor_is_refused_before_the_load() -> None:
    payload = Payload(body=b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}]}', name="r.json")
    with pytest.raises(StageFailed, match=r"r\.json: an input has no 'data'"):
        talk(BinaryInference(), {}, first_inference, payloads=(payload,), model="double")


def test_a_payload_that_expects_an_answer_is_sent_like_the_one_that_it_was_made_of() -> None:
    async def scene(server: ModelServer) -> Answer:
        await first_inference(server)
        return await server.infer(replace(PAYLOAD, name="the request (alone)", expected=b"{}"))

    assert talk(BinaryInference(), doubling(), scene, payloads=(PAYLOAD,), model="double").error == ""


@pytest.mark.parametrize("status", [422, 500])
@pytest.mark.parametrize("extensions", [[], ["binary_tensor_data"]])
def test_a_server_that_does_not_offer_binary_tensors_is_told_apart(
    status: int, extensions: list[str]
) -> None:
    async def about(_: web.Request) -> web.Response:
        return web.json_response({"name": "a server", "extensions": extensions})

    routes = {**doubling(status=status), "GET /v2": about}
    answer = talk(BinaryInference(), routes, first_inference, payloads=(PAYLOAD,), model="double")
    assert ("`benchmark.protocol: v2` sends JSON" in answer.error) == (not extensions)


@pytest.mark.parametrize("extensions", [5, None, "binary_tensor_data"])
def test_a_server_that_names_its_extensions_oddly_has_none(extensions: object) -> None:
    async def about(_: web.Request) -> web.Response:
        return web.json_response({"extensions": extensions})

    routes = {**doubling(status=422), "GET /v2": about}
    answer = talk(BinaryInference(), routes, first_inference, payloads=(PAYLOAD,), model="double")
    assert "`benchmark.protocol: v2` sends JSON" in answer.error


@pytest.mark.parametrize("golden", [b"[1]", b"{", b'{"outputs": 5}', b""])
def test_an_expected_answer_that_is_none_is_said_to_be_none(golden: bytes) -> None:
    async def scene(server: ModelServer) -> str:
        return server.same(golden, (await first_inference(server)).body)

    said = talk(BinaryInference(), doubling(), scene, payloads=(PAYLOAD,), model="double")
    assert said == "the expected answer has no `outputs`"
