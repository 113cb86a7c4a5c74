"""Any server over HTTP: what is sent, and which answer is good."""

import contextlib
import tracemalloc

import pytest
from aiohttp import web

from stages.servers import PROTOCOLS
from stages.servers.interface import Answer, ModelServer, Payload
from stages.servers.plain_http import PlainHttp
from tests.support.web_server import Handler, talk


def echo(status: int = 200) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        kind = request.headers.get("Content-Type", "none")
        return web.Response(status=status, body=kind.encode() + b":" + await request.read())

    return handle


async def first_inference(server: ModelServer) -> Answer:
    assert await server.unlive() == ""
    await server.prepare()
    return await server.infer(server.payloads[0])


def test_a_body_is_posted_to_the_path_with_its_type() -> None:
    payload = Payload(body=b"\xff\xd8", content_type="image/jpeg")
    answer = talk(
        PlainHttp(),
        {"POST /predict": echo()},
        first_inference,
        payloads=(payload,),
        options={"path": "/predict"},
    )
    assert answer == Answer(body=b"image/jpeg:\xff\xd8")


def test_without_a_body_the_path_is_read() -> None:
    answer = talk(PlainHttp(), {"GET /": echo()}, first_inference)
    assert (answer.error, answer.body.partition(b":")[2]) == ("", b"")


@pytest.mark.parametrize(
    ("status", "wanted", "good"),
    [(204, None, True), (302, None, False), (418, "418", True), (200, "201", False), (500, None, False)],
)
def test_a_good_answer_has_the_status_that_is_expected(status: int, wanted: str | None, good: bool) -> None:
    options = {"status": wanted} if wanted else {}
    answer = talk(PlainHttp(), {"GET /": echo(status)}, first_inference, options=options)
    assert (answer.error == "") is good
    assert answer.kind == ("" if good else f"HTTP {status}")
    assert answer.temporary is (status >= 500)
    assert ("and not" in answer.error) is (wanted is not None and not good)


def test_a_status_that_is_none_is_refused() -> None:
    assert (
        PlainHttp().problem_of({"status": "ok"}, ()).startswith("benchmark.options: status 'ok' is no number")
    )
    assert PlainHttp().problem_of({"status": "204"}, ()) == PlainHttp().problem_of({}, ()) == ""


def test_the_ready_path_says_when_the_model_is_ready() -> None:
    async def scene(server: ModelServer) -> tuple[str, str]:
        return await server.unready(), await server.advise()

    ready = {"ready_path": "/ready"}
    assert talk(PlainHttp(), {"GET /ready": echo()}, scene, options=ready)[0] == ""
    missing, advice = talk(PlainHttp(), {"GET /": echo()}, scene, options=ready)
    assert missing.startswith("/ready answers 404")
    assert "Mend `ready_path`" in advice


def test_documents_are_compared_as_documents_and_anything_else_by_its_bytes() -> None:
    async def scene(server: ModelServer) -> list[str]:
        return [
            server.same(b'{"a": 1}', b'{"a": 1.0, "b": 2}'),
            server.same(b'{"a": 1}', b'{"a": 2}'),
            server.same(b"plain\n", b"plain"),
            server.same(b"plain", b"other"),
        ]

    assert talk(PlainHttp(), {}, scene) == ["", "$.a is 2, not 1", "", "it is 'other', not 'plain'"]


def test_each_request_of_a_template_has_a_number_of_its_own() -> None:
    async def scene(server: ModelServer) -> list[bytes]:
        return [(await server.infer(server.payloads[0])).body for _ in range(2)]

    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=request.path.encode() + b" " + await request.read())

    answers = talk(
        PlainHttp(),
        {"POST /users/{user}": handle},
        scene,
        payloads=(Payload(body=b"I am {n}, not {m}; {n}"),),
        options={"path": "/users/u{n}", "template": "{n}"},
    )
    assert answers == [b"/users/u1 I am 1, not {m}; 1", b"/users/u2 I am 2, not {m}; 2"]


@pytest.mark.parametrize("protocol", ["http", "v2", "v2-binary", "v2-grpc"])
def test_every_protocol_compares_within_the_tolerance_of_the_target(protocol: str) -> None:
    async def scene(server: ModelServer) -> str:
        expected, answer = (b'{"outputs": [{"name": "y", "data": [%s]}]}' % one for one in (b"0.5", b"0.503"))
        return server.same(expected, answer)

    assert "0.503, not 0.5" in talk(PROTOCOLS[protocol], {}, scene)
    assert talk(PROTOCOLS[protocol], {}, scene, tolerance=0.01) == ""


def test_a_path_may_be_written_without_its_first_slash() -> None:
    async def scene(server: ModelServer) -> tuple[str, str]:
        await server.prepare()
        return await server.unready(), (await server.infer(server.payloads[0])).error

    options = {"path": "predict", "ready_path": "ready"}
    routes = {"GET /predict": echo(), "GET /ready": echo()}
    assert talk(PlainHttp(), routes, scene, options=options) == ("", "")


def test_a_question_that_is_answered_without_end_is_not_kept_whole() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(bytes(2**20))
        return response

    async def scene(server: ModelServer) -> str:
        return await server.unready()

    tracemalloc.start()
    try:
        options = {"ready_path": "/ready"}
        assert talk(PlainHttp(), {"GET /ready": endless}, scene, options=options) == ""
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()
