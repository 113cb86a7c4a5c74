"""Language models behind the OpenAI API: what counts as a token, and what is no answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from pipeline.errors import StageFailed
from stages.load.open_files import many_open_files
from stages.servers.interface import Answer, ModelServer, Payload
from stages.servers.openai import OpenAI, Stream
from tests.support.web_server import Handler, talk


def event(**fields: Any) -> bytes:
    return f"data: {json.dumps(fields)}\n".encode()


def chunk(content: str | None, *, finish: str | None = None, **delta: Any) -> bytes:
    return event(choices=[{"delta": {"content": content, **delta}, "finish_reason": finish}])


ROLE = chunk(None, role="assistant")
USAGE = event(choices=[], usage={"completion_tokens": 4})
DONE = b"data: [DONE]\n"


def answer_of(*lines: bytes) -> Answer:
    stream = Stream()
    for number, line in enumerate(lines):
        stream.take(line, float(number))
    return stream.answer()


def test_the_chunk_with_the_role_is_no_token() -> None:
    answer = answer_of(
        ROLE, chunk("An"), b"\n", b": a comment\n", chunk(" image"), chunk("", finish="stop"), DONE
    )
    assert answer.error == ""
    assert answer.body == b"An image"
    assert answer.tokens is not None
    assert (answer.tokens.count, answer.tokens.counted_by_server) == (2, False)
    assert (answer.tokens.first_at, answer.tokens.last_at) == (1.0, 4.0)


def test_the_servers_own_count_goes_before_the_count_of_chunks() -> None:
    tokens = answer_of(ROLE, chunk("two tokens"), chunk(" or more", finish="stop"), USAGE, DONE).tokens
    assert tokens is not None
    assert (tokens.count, tokens.counted_by_server) == (4, True)


@pytest.mark.parametrize(
    "delta",
    [{"reasoning_content": "hm"}, {"tool_calls": [{"function": {"name": "f"}}]}],
    ids=["reasoning", "tool call"],
)
def test_what_a_model_thinks_or_calls_is_a_token_too(delta: dict[str, Any]) -> None:
    tokens = answer_of(chunk(None, **delta), chunk("", finish="stop"), DONE).tokens
    assert tokens is not None
    assert tokens.count == 1


def test_a_text_completion_has_text_and_no_delta() -> None:
    answer = answer_of(event(choices=[{"text": "x", "finish_reason": "length"}]), DONE)
    assert (answer.error, answer.body) == ("", b"x")


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ((ROLE, chunk("An")), "stream cut"),
        ((ROLE, chunk("", finish="stop"), DONE), "no token"),
        ((ROLE, chunk("An"), event(error={"message": "out of memory"}), DONE), "stream error"),
    ],
)
def test_a_stream_that_is_no_answer_is_an_error(lines: tuple[bytes, ...], kind: str) -> None:
    answer = answer_of(*lines)
    assert answer.kind == kind
    assert answer.error


def server(*lines: bytes, models: tuple[str, ...] = ("tiny",), health: int = 200) -> dict[str, Handler]:
    async def stream(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not body.get("stream"):
            return web.json_response(
                {"choices": [{"message": {"content": "whole"}}], "usage": {"completion_tokens": 3}}
            )
        assert body["stream_options"] == {"include_usage": True}
        assert body["model"] == "tiny"
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for line in lines:
            await response.write(line)
            await asyncio.sleep(0.02)
        return response

    async def list_models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": name} for name in models]})

    async def tell_health(_: web.Request) -> web.Response:
        return web.Response(status=health, text="loading")

    return {
        "POST /v1/chat/completions": stream,
        "POST /v1/completions": stream,
        "GET /v1/models": list_models,
        "GET /health": tell_health,
    }


async def first_inference(found: ModelServer) -> Answer:
    assert await found.unlive() == ""
    assert await found.unready() == ""
    await found.prepare()
    return await found.infer(found.payloads[0])


def test_a_short_chat_is_made_where_nobody_gives_one_and_every_token_has_a_time() -> None:
    lines = (ROLE, chunk("An"), chunk(" image"), chunk("", finish="stop"), USAGE, DONE)
    answer = talk(OpenAI(), server(*lines), first_inference)
    assert answer.error == ""
    assert answer.tokens is not None
    assert answer.tokens.count == 4
    assert answer.tokens.last_at - answer.tokens.first_at >= 0.015


def test_a_request_that_does_not_want_a_stream_gets_none() -> None:
    body = json.dumps({"messages": [], "stream": False}).encode()
    answer = talk(OpenAI(), server(), first_inference, payloads=(Payload(body=body),))
    assert answer.body == b"whole"
    assert answer.tokens is not None
    assert answer.tokens.count == 3


def test_a_request_without_messages_or_prompt_is_refused() -> None:
    payloads = (Payload(body=b'{"inputs": []}', name="request.json"),)
    with pytest.raises(StageFailed, match=r"request\.json is no request of the OpenAI API"):
        talk(OpenAI(), server(), first_inference, payloads=payloads)


@pytest.mark.parametrize(
    ("routes", "model", "words", "advice"),
    [
        (server(health=503), None, "/health answers 503 loading", "Its log may say"),
        (server(models=()), None, "names no model yet", "Mend `benchmark.model`"),
        (server(), "other", "the server has tiny, and no other", "Mend `benchmark.model`"),
        ({}, None, "/v1/models answers 404", "not by the OpenAI API"),
    ],
    ids=["loading", "no model", "other model", "other server"],
)
def test_what_is_missing_is_said_with_advice(
    routes: dict[str, Handler], model: str | None, words: str, advice: str
) -> None:
    async def scene(found: ModelServer) -> tuple[str, str]:
        return await found.unready(), await found.advise()

    missing, said = talk(OpenAI(), routes, scene, model=model)
    assert words in missing
    assert advice in said


def test_a_server_that_does_not_count_is_no_error() -> None:
    async def whole(_: web.Request) -> web.Response:
        return web.json_response({"choices": [{"message": {"content": "whole"}}], "usage": None})

    body = json.dumps({"messages": [], "stream": False}).encode()
    routes = {**server(), "POST /v1/chat/completions": whole}
    answer = talk(OpenAI(), routes, first_inference, payloads=(Payload(body=body),))
    assert (answer.error, answer.body, answer.tokens) == ("", b"whole", None)


@pytest.mark.parametrize("count", [-5, 0, 10**400, "4", None])
def test_a_count_that_cannot_be_is_not_taken(count: object) -> None:
    tokens = answer_of(
        chunk("one", finish="stop"), event(choices=[], usage={"completion_tokens": count})
    ).tokens
    assert tokens is not None
    assert (tokens.count, tokens.counted_by_server) == (1, False)


def test_a_request_may_leave_the_options_of_the_stream_empty() -> None:
    body = json.dumps({"messages": [], "stream_options": None}).encode()
    lines = (chunk("An", finish="stop"), DONE)
    assert talk(OpenAI(), server(*lines), first_inference, payloads=(Payload(body=body),)).error == ""


def test_no_answer_is_asked_for_compressed() -> None:
    asked: list[str] = []

    async def whole(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Accept-Encoding", ""))
        return web.json_response({"choices": [{"text": "x"}]})

    body = json.dumps({"prompt": "", "stream": False}).encode()
    routes = {**server(), "POST /v1/completions": whole}
    assert talk(OpenAI(), routes, first_inference, payloads=(Payload(body=body),)).error == ""
    assert asked == ["identity"]


def test_more_clients_than_a_thousand_do_not_wait_for_us() -> None:
    count = 0

    async def scene(found: ModelServer) -> list[Answer]:
        await found.prepare()
        return await asyncio.gather(*(found.infer(found.payloads[0]) for _ in range(1100)))

    async def whole(_: web.Request) -> web.Response:
        nonlocal count
        count += 1
        async with asyncio.timeout(40):  # nobody is answered before all have asked
            while count < 1100:
                await asyncio.sleep(0.1)
        return web.json_response({"choices": [{"text": "x"}]})

    body = json.dumps({"prompt": "", "stream": False}).encode()
    routes: dict[str, Handler] = {"POST /v1/completions": whole}
    with many_open_files():
        answers = talk(OpenAI(), routes, scene, payloads=(Payload(body=body),))
    assert [answer.error for answer in answers if answer.error] == []


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        (b"Paris\n", b" Paris"),
        (b'"Paris"', b"Paris"),
        (b'"Paris"', b'"Paris"'),
        (b'{"choices": [{"message": {"content": "Paris"}}], "usage": null}', b"Paris"),
        (b'{"label": "cat", "score": 0.5}', b'{ "score": 0.50000001, "label": "cat" }'),
        (b"7", b"7"),
    ],
)
def test_an_expected_answer_is_text_or_json(expected: bytes, answer: bytes) -> None:
    assert talk(OpenAI(), server(), comparing(expected, answer)) == ""
    assert "Rome" in talk(OpenAI(), server(), comparing(expected, b"Rome"))


def test_a_structured_answer_is_compared_as_a_document() -> None:
    said = talk(OpenAI(), server(), comparing(b'{"label": "cat"}', b'{"label": "dog"}'))
    assert said == "$.label is 'dog', not 'cat'"


def comparing(expected: bytes, answer: bytes) -> Callable[[ModelServer], Awaitable[str]]:
    async def compare(found: ModelServer) -> str:
        return found.same(expected, answer)

    return compare


def test_a_server_that_does_not_stream_is_told_so() -> None:
    answer = answer_of(b'{"choices": [{"message": {"content": "Paris"}}]}')
    assert answer.kind == "form"
    assert 'write "stream": false' in answer.error
    assert answer_of(b"\n").kind == "stream cut"


def test_an_error_that_is_no_data_is_one_all_the_same() -> None:
    answer = answer_of(chunk("An"), b'error: {"message": "out of memory"}\n', DONE)
    assert (answer.kind, "out of memory" in answer.error) == ("stream error", True)
