"""The Open Inference Protocol against real servers on loopback, right ones and wrong ones."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
import uvloop
from aiohttp import web

from pipeline.errors import StageFailed
from stages.servers.interface import Answer, ModelServer, Payload, Target
from stages.servers.v2 import OpenInference, problem_of
from stages.servers.v2_request import request_from

T = TypeVar("T")

OUTPUTS = {
    "model_name": "digits",
    "outputs": [{"name": "y", "shape": [1], "datatype": "FP32", "data": [1.0]}],
}
METADATA = {"name": "digits", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]}


@dataclass
class Behaviour:
    """How a server of the test answers; what it was asked is kept."""

    ready_after: int = 0
    health_status: int = 200
    health_s: float = 0.0
    model_s: float = 0.0
    model_status: int = 200
    all_ready: bool = False
    model_body: dict[str, Any] = field(default_factory=dict)
    models: list[str] = field(default_factory=lambda: ["digits"])
    index: bool = True
    list_models: bool = True
    metadata: object = field(default_factory=lambda: METADATA)
    status: int = 200
    answer: str = json.dumps(OUTPUTS)
    health_asked: int = 0
    requests: list[Any] = field(default_factory=list)

    async def health(self, _: web.Request) -> web.Response:
        self.health_asked += 1
        await asyncio.sleep(self.health_s)
        return web.Response(status=self.health_status if self.health_asked > self.ready_after else 503)

    async def model_ready(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.model_s)
        known = self.all_ready or request.match_info["model"] in self.models
        return web.json_response(self.model_body, status=self.model_status if known else 404)

    async def repository_index(self, _: web.Request) -> web.Response:
        return web.json_response([{"name": name, "state": "READY"} for name in self.models])

    async def list_of_models(self, _: web.Request) -> web.Response:
        return web.json_response({"models": self.models})

    async def model(self, request: web.Request) -> web.Response:
        known = request.match_info["model"] in self.models
        return web.json_response(self.metadata, status=200 if known else 404)

    async def infer(self, request: web.Request) -> web.Response:
        self.requests.append(await request.json())
        if request.content_type != "application/json":
            return web.Response(status=415)
        return web.Response(status=self.status, text=self.answer, content_type="application/json")

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v2/health/ready", self.health)
        if self.index:
            app.router.add_post("/v2/repository/index", self.repository_index)
        if self.list_models:
            app.router.add_get("/v2/models", self.list_of_models)
        app.router.add_get("/v2/models/{model}", self.model)
        app.router.add_get("/v2/models/{model}/ready", self.model_ready)
        app.router.add_post("/v2/models/{model}/infer", self.infer)
        return app


def talk(behaviour: Behaviour, scene: Callable[[ModelServer], Awaitable[T]], **wanted: Any) -> T:
    """Run a server that behaves like this, and return what the scene with it gives."""

    async def play() -> T:
        runner = web.AppRunner(behaviour.application(), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            async with OpenInference().connect(Target(port=port, image="digits", **wanted)) as server:
                return await scene(server)
        finally:
            await runner.cleanup()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(play())


async def first_inference(server: ModelServer) -> Answer:
    while await server.unready():
        await asyncio.sleep(0)
    await server.prepare()
    return await server.infer(server.payloads[0])


def test_a_request_is_made_from_the_metadata_of_the_only_model() -> None:
    behaviour = Behaviour(models=["other-name"])
    assert talk(behaviour, first_inference).error == ""
    assert behaviour.requests == [
        {"id": "benchmark", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [0.0] * 3}]}
    ]


def test_the_request_of_the_user_is_sent_as_it_is() -> None:
    behaviour = Behaviour()
    assert (
        talk(behaviour, first_inference, payloads=(Payload(body=b'{"inputs": []}'),), model="digits").error
        == ""
    )
    assert behaviour.requests == [{"inputs": []}]


def test_a_server_is_asked_until_it_is_ready() -> None:
    behaviour = Behaviour(ready_after=3)
    assert talk(behaviour, first_inference).error == ""
    assert behaviour.health_asked == 4


@pytest.mark.parametrize(
    ("behaviour", "missing"),
    [
        (Behaviour(ready_after=99), "/v2/health/ready answers 503"),
        (Behaviour(model_status=503), "/v2/models/digits/ready answers 503"),
        (Behaviour(model_body={"name": "digits", "ready": "False"}), "says that it is not"),
        (Behaviour(models=[]), "lists no model yet"),
    ],
    ids=["server", "model", "false", "none"],
)
def test_what_is_missing_is_named(behaviour: Behaviour, missing: str) -> None:
    assert missing in talk(behaviour, lambda server: server.unready())


def test_a_model_that_the_server_does_not_know_is_not_ready() -> None:
    missing = talk(Behaviour(), lambda server: server.unready(), model="other")
    assert missing.startswith("/v2/models/other/ready answers 404")


async def advice(server: ModelServer) -> str:
    assert await server.unready()
    return await server.advise()


@pytest.mark.parametrize(
    ("behaviour", "model", "words"),
    [
        (Behaviour(ready_after=99), None, "raise `benchmark.readiness_timeout_s`"),
        (Behaviour(model_status=503), None, "raise `benchmark.readiness_timeout_s`"),
        (Behaviour(models=[]), None, "The server has no model"),
        (Behaviour(models=["b", "a"]), "other", "Mend `benchmark.model`: the server has a, b, and no other."),
        (Behaviour(index=False), "other", "Mend `benchmark.model`: the server has digits, and no other."),
        (Behaviour(index=False, list_models=False), "other", "Mend `benchmark.model`: the server does not"),
        (Behaviour(model_status=400), "digits", "The server knows the model, but does not get it ready."),
        (
            Behaviour(model_status=400, index=False, list_models=False),
            "digits",
            "Is `benchmark.model` right?",
        ),
        (Behaviour(health_status=404), None, "see `benchmark.port` and `benchmark.protocol`"),
    ],
    ids=["server", "model", "none", "other", "listed", "unlisted", "known", "unknown", "another protocol"],
)
def test_the_advice_fits_what_is_missing(behaviour: Behaviour, model: str | None, words: str) -> None:
    assert words in talk(behaviour, advice, model=model)


def test_a_question_that_the_deadline_ended_does_not_change_the_advice() -> None:
    behaviour = Behaviour()

    async def scene(server: ModelServer) -> str:
        assert await server.unready()
        behaviour.health_s = 60
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await server.unready()
        behaviour.health_s = 0
        behaviour.model_s = 60
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await server.unready()
        return await server.advise()

    assert talk(behaviour, scene, model="other").startswith("Mend `benchmark.model`")


def test_a_port_that_speaks_no_http_is_doubted() -> None:
    async def ask() -> str:
        async with OpenInference().connect(Target(port=1)) as server:
            return await advice(server)

    assert "is `benchmark.port` for HTTP?" in asyncio.run(ask())


def test_nobody_at_the_port_is_not_ready() -> None:
    async def ask() -> str:
        async with OpenInference().connect(Target(port=1)) as server:
            return await server.unready()

    assert asyncio.run(ask()) == "/v2/health/ready answers nothing"


@pytest.mark.parametrize(
    ("index", "list_models", "models", "name"),
    [
        (True, True, ["a"], "a"),
        (True, True, ["a", "digits"], "digits"),
        (False, True, ["a"], "a"),
        (False, False, ["digits"], "digits"),
    ],
    ids=["index", "like the image", "list", "image"],
)
def test_the_models_name_is_found(index: bool, list_models: bool, models: list[str], name: str) -> None:
    async def ask(server: ModelServer) -> str | None:
        await server.unready()
        return server.model

    assert talk(Behaviour(index=index, list_models=list_models, models=models), ask) == name


def test_several_models_leave_the_choice_to_the_user() -> None:
    with pytest.raises(StageFailed, match="several models: a, b") as raised:
        talk(Behaviour(models=["b", "a"]), lambda server: server.unready())
    assert "benchmark.model" in raised.value.advice


def test_a_model_that_has_no_metadata_may_have_another_name() -> None:
    with pytest.raises(StageFailed, match="the server answers 404") as raised:
        talk(Behaviour(all_ready=True), first_inference, model="other")
    assert raised.value.advice.startswith("Mend `benchmark.model`: the server has digits, and no other.")


def with_shape(shape: object) -> object:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": shape}]}


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"inputs": [{"name": "x"}]},
        {"inputs": "x"},
        [],
        with_shape([10**11]),
        with_shape([10**40]),
        with_shape([1e400]),
        with_shape(5),
    ],
    ids=str,
)
def test_metadata_without_inputs_asks_for_a_request_file(metadata: object) -> None:
    with pytest.raises(StageFailed) as raised:
        talk(Behaviour(metadata=metadata), first_inference)
    assert "benchmark.request" in raised.value.advice


@pytest.mark.parametrize(
    ("status", "answer", "words", "temporary"),
    [
        (500, "it broke", "500 it broke", True),
        (400, '{"error": "bad shape"}', '400 {"error": "bad shape"}', False),
        (200, '{"error": "out of luck"}', "200 with an error inside: out of luck", False),
        (200, "{}", "200 without outputs", False),
        (200, '{"outputs": []}', "200 without outputs", False),
        (200, '{"outputs": [{"name": "y"}]}', "no data", False),
        (200, "<html>", "200 without outputs: <html>", False),
        (302, "", "302", False),
    ],
)
def test_a_wrong_answer_is_an_error(status: int, answer: str, words: str, temporary: bool) -> None:
    found = talk(Behaviour(status=status, answer=answer), first_inference)
    assert words in found.error
    assert found.temporary is temporary


def test_a_good_answer_does_not_make_the_next_one_good() -> None:
    behaviour = Behaviour()

    async def scene(server: ModelServer) -> list[str]:
        errors = [(await first_inference(server)).error]
        behaviour.answer = '{"error": "now it is broken"}'
        errors.append((await server.infer(server.payloads[0])).error)
        behaviour.answer, behaviour.status = json.dumps(OUTPUTS), 500
        errors.append((await server.infer(server.payloads[0])).error)
        return errors

    good, broken, failing = talk(behaviour, scene)
    assert good == ""
    assert "now it is broken" in broken
    assert failing.startswith("500")


def test_a_connection_that_breaks_is_an_error_that_may_pass() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def ask() -> Answer:
        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            async with OpenInference().connect(
                Target(port=port, model="m", payloads=(Payload(body=b"{}"),))
            ) as server:
                return await server.infer(server.payloads[0])

    answer = asyncio.run(ask())
    assert answer.error
    assert answer.temporary


def test_zeros_fit_every_datatype() -> None:
    kinds = {"FP32": 0.0, "FP16": 0.0, "BF16": 0.0, "INT64": 0, "UINT8": 0, "BOOL": False, "BYTES": ""}
    inputs = [{"name": kind, "datatype": kind, "shape": [-1, 2]} for kind in kinds]
    made = json.loads(request_from({"inputs": inputs}))
    assert {one["datatype"]: one["data"] for one in made["inputs"]} == {
        kind: [zero, zero] for kind, zero in kinds.items()
    }


def test_a_long_answer_is_cut_and_put_on_one_line() -> None:
    problem = problem_of(500, b"line\n" * 1000)
    assert problem.startswith("500 line line")
    assert len(problem) < 250


@pytest.mark.parametrize(
    "listed",
    [{"models": 5}, {"models": None}, ["digits"], "digits"],
    ids=str,
)
def test_a_list_of_models_that_is_none_names_nobody(listed: object) -> None:
    class Odd(Behaviour):
        async def list_of_models(self, _: web.Request) -> web.Response:
            return web.json_response(listed)

    assert talk(Odd(index=False), lambda server: server.unready()) == "the server lists no model yet"


def test_of_thousands_of_models_a_few_are_named() -> None:
    behaviour = Behaviour(models=[f"model-{number:04}" for number in range(3000)])
    with pytest.raises(StageFailed, match=r"several models: model-0000, .* and 2980 others") as raised:
        talk(behaviour, lambda server: server.unready())
    assert len(raised.value.message) < 1000


def test_metadata_that_are_nested_without_end_are_none() -> None:
    class Deep(Behaviour):
        async def model(self, request: web.Request) -> web.Response:
            return web.Response(text="[" * 100_000)

    with pytest.raises(StageFailed, match="it names no inputs"):
        talk(Deep(), first_inference)


def test_an_answer_that_is_nested_without_end_is_an_error_of_form() -> None:
    found = talk(Behaviour(answer='{"outputs": ' + "[" * 100_000), first_inference)
    assert (found.kind, found.temporary) == ("form", False)
