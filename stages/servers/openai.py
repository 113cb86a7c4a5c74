"""Language models behind the OpenAI API: chat and text completions, streamed so that every token has a time.

Source: the API's reference for chat completions and completions, and server-sent events (WHATWG HTML, 9.2).
A request whose own body says `"stream": false` is sent so, and has no time of a first token of its own.
"""

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.errors import StageFailed
from stages.servers.causes import LONGER
from stages.servers.connections import LARGEST_ANSWER_BYTES
from stages.servers.expectations import Tolerance, difference
from stages.servers.http_client import (
    JSON,
    ask,
    excerpt,
    named,
    object_in,
    objects_in,
    parsed,
    read,
    session_to,
    unsent,
)
from stages.servers.interface import Answer, ModelServer, Payload, Target, Tokens

if TYPE_CHECKING:
    import aiohttp

CHAT, COMPLETIONS, MODELS, HEALTH = "/v1/chat/completions", "/v1/completions", "/v1/models", "/health"
PROMPT = "Say in one sentence what a container image is."
MOST_TOKENS = 32
END = b"[DONE]"
MOST_COUNTED = 10_000_000
FIELDS = (b"event", b"id", b"retry", b":")
NO_STREAM = ' (where the server does not stream, write "stream": false into the request)'


class OpenAI:
    """Speaks the OpenAI API; a request with `messages` is a chat, any other a text completion."""

    options: ClassVar[frozenset[str]] = frozenset()
    answers_vary: ClassVar[bool] = True
    """Answers are sampled, and even without that they differ by what else is computed beside them."""
    keeps_connections: ClassVar[bool] = False

    def problem_of(self, options: Mapping[str, str], payloads: Sequence[Payload]) -> str:
        """Return what is wrong with what the user gave; nothing where it can be sent."""
        del options
        return next(filter(None, map(_unfit, payloads)), "")

    @asynccontextmanager
    async def connect(self, target: Target) -> AsyncIterator[ModelServer]:
        """Lend the server at the target; every connection to it is closed at the end."""
        # llama.cpp's server closes a connection after a streamed answer without saying so: a request that is
        # sent on it at once is lost, through no fault of the model's.
        async with session_to(target, reuse=False) as session:
            yield _Server(session, target)


class _Server:
    def __init__(self, session: "aiohttp.ClientSession", target: Target) -> None:
        self._session = session
        self._missed = HEALTH, 0
        self._tolerance = Tolerance.of(target.tolerance)
        self.payloads = target.payloads
        self.model = target.model

    async def unlive(self) -> str:
        status, _ = await ask(self._session, "GET", HEALTH)
        self._missed = HEALTH, status
        return "" if status else f"{HEALTH} answers nothing"

    async def unready(self) -> str:
        status, body = await ask(self._session, "GET", HEALTH)
        if status == 0 or status >= 500:  # servers without this path answer 404
            self._missed = HEALTH, status
            return f"{HEALTH} answers {status or 'nothing'} {excerpt(body)}".rstrip()
        status, body = await ask(self._session, "GET", MODELS)
        self._missed = MODELS, status
        if status != 200:
            return f"{MODELS} answers {status or 'nothing'} {excerpt(body)}".rstrip()
        names = [str(entry["id"]) for entry in objects_in(object_in(body).get("data")) if "id" in entry]
        if not names:
            return f"{MODELS} names no model yet"
        self.model = self.model or names[0]
        return "" if self.model in names else f"the server has {named(names)}, and no {self.model}"

    async def advise(self) -> str:
        path, status = self._missed
        if status == 0:
            return f"It takes connections, but does not answer HTTP: is `benchmark.port` for HTTP? {LONGER}"
        if path == MODELS and status == 404:
            return "Something answers there, but not by the OpenAI API: see `benchmark.protocol`."
        if path == MODELS and status == 200:
            return f"Mend `benchmark.model`, or leave it out: then the first one is taken. {LONGER}"
        return f"Its log may say what it waits for. {LONGER}"

    async def prepare(self) -> None:
        if not self.payloads:
            chat = {
                "messages": [{"role": "user", "content": PROMPT}],
                "max_tokens": MOST_TOKENS,
                "temperature": 0,
            }
            self.payloads = (Payload(body=json.dumps(chat).encode(), name="a short chat"),)
        self._requests = {payload.body: _request(payload, self.model) for payload in self.payloads}

    async def infer(self, payload: Payload) -> Answer:
        import aiohttp

        request = self._requests[payload.body]
        try:
            async with self._session.post(
                request.path, data=request.body, headers=JSON, allow_redirects=False
            ) as response:
                if response.status != 200:
                    return _refused(response.status, await read(response, LARGEST_ANSWER_BYTES))
                if not request.streamed:
                    return _whole(await read(response, LARGEST_ANSWER_BYTES), time.perf_counter())
                stream, left_bytes = Stream(), LARGEST_ANSWER_BYTES
                async for line in response.content:
                    stream.take(line, time.perf_counter())
                    left_bytes -= len(line)
                    if left_bytes < 0:
                        return Answer("the stream has no end", kind="form")
                return stream.answer()
        except OSError as error:
            return unsent(error)
        except (aiohttp.ClientError, ValueError) as error:  # a line beyond all limits is a ValueError
            return Answer(f"{type(error).__name__}: {error}", temporary=True, kind="connection")

    def same(self, expected: bytes, answer: bytes) -> str:
        wanted = _wanted(expected)
        if answer.strip() in {expected.strip(), wanted}:
            return ""
        one, other = parsed(wanted), parsed(answer)
        if isinstance(one, dict | list) and isinstance(other, dict | list):
            return difference(one, other, self._tolerance)
        return f"it says {excerpt(answer)!r}, not {excerpt(wanted)!r}"


@dataclass(frozen=True, slots=True)
class _Request:
    path: str
    body: bytes
    streamed: bool


def _unfit(payload: Payload) -> str:
    document = object_in(payload.body)
    if "messages" in document or "prompt" in document:
        return ""
    return f"{payload.name or 'the request'} is no request of the OpenAI API: no `messages`, no `prompt`"


def _request(payload: Payload, model: str | None) -> _Request:
    """Return what is sent for a payload: with the model's name, and streamed unless it says otherwise."""
    document = object_in(payload.body)
    if unfit := _unfit(payload):
        raise StageFailed(
            unfit,
            advice='Write it like {"messages": [{"role": "user", "content": "…"}], "max_tokens": 32}.',
        )
    document.setdefault("model", model)
    streamed = document.setdefault("stream", True) is True
    if streamed:
        document["stream_options"] = {"include_usage": True, **(document.get("stream_options") or {})}
    path = CHAT if "messages" in document else COMPLETIONS
    return _Request(path, json.dumps(document).encode(), streamed)


@dataclass(slots=True)
class Stream:
    """One streamed answer, taken line by line.

    The first chunk of a chat carries the role and no text: it is no token.
    """

    text: list[str] = field(default_factory=list)
    first_at: float = 0.0
    last_at: float = 0.0
    chunks: int = 0
    counted: int | None = None
    error: str = ""
    ended: bool = False
    strange: str = ""
    """The first line that is none of a stream of events."""

    def take(self, line: bytes, now: float) -> None:
        """Take one line that came at a moment of time.perf_counter."""
        if line.startswith(b"error:"):  # llama.cpp's word for it, which is no field of the standard
            self.error = excerpt(line[6:].strip())
        if not line.startswith(b"data:"):
            if not self.strange and line.strip() and not line.startswith(FIELDS):
                self.strange = excerpt(line)
            return
        data = line[5:].strip()
        if data == END:
            self.ended = True
            return
        event = object_in(data)
        if error := event.get("error"):
            self.error = excerpt(str(error).encode())
        self.counted = _counted(event) or self.counted
        for choice in objects_in(event.get("choices")):
            self.ended = self.ended or choice.get("finish_reason") is not None
            if piece := _text(choice):
                self._count(piece, now)

    def _count(self, piece: str, now: float) -> None:
        self.first_at = self.first_at or now
        self.last_at = now
        self.chunks += 1
        self.text.append(piece)

    def answer(self) -> Answer:
        """Return what the stream amounts to, now that it is over."""
        if self.error:
            return Answer(f"an error inside the stream: {self.error}", temporary=True, kind="stream error")
        if not self.ended and self.strange:
            return Answer(f"the answer is no stream of events: {self.strange}{NO_STREAM}", kind="form")
        if not self.ended:
            return Answer("the stream ended before the answer did", temporary=True, kind="stream cut")
        if not self.chunks:
            return Answer("the stream has no token", kind="no token")
        tokens = Tokens(
            count=self.counted or self.chunks,
            first_at=self.first_at,
            last_at=self.last_at,
            counted_by_server=self.counted is not None,
        )
        return Answer(body="".join(self.text).encode(errors="replace"), tokens=tokens)


def _text(choice: dict[str, Any]) -> str:
    """Return the text that a chunk's choice brings; reasoning and calls of tools are tokens too."""
    if isinstance(text := choice.get("text"), str):
        return text
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return ""
    for key in ("content", "reasoning_content", "reasoning"):
        if isinstance(text := delta.get(key), str) and text:
            return text
    return json.dumps(calls) if (calls := delta.get("tool_calls")) else ""


def _refused(status: int, body: bytes) -> Answer:
    return Answer(f"{status} {excerpt(body)}".rstrip(), temporary=status >= 500, kind=f"HTTP {status}")


def _whole(body: bytes, now: float) -> Answer:
    """Return an answer that was not streamed: its tokens have no times of their own."""
    document = object_in(body)
    choices = objects_in(document.get("choices"))
    if not choices:
        return Answer(f"200 without choices: {excerpt(body)}", kind="form")
    message = choices[0].get("message")
    text = message.get("content") if isinstance(message, dict) else choices[0].get("text")
    counted, tokens = _counted(document), None
    if counted is not None:
        tokens = Tokens(count=counted, first_at=now, last_at=now, counted_by_server=True)
    return Answer(body=str(text or "").encode(errors="replace"), tokens=tokens, at=now)


def _wanted(expected: bytes) -> bytes:
    """Return the text of an expected answer: a JSON file has it as a string, or as the server answers it."""
    document = parsed(expected)
    if isinstance(document, str):
        return document.strip().encode(errors="replace")
    whole = _whole(expected, 0.0)
    return expected.strip() if whole.error else whole.body.strip()


def _counted(document: dict[str, Any]) -> int | None:
    """Return the tokens that the server says it generated; None where it says none that can be."""
    usage = document.get("usage")
    told = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return told if isinstance(told, int) and 0 < told <= MOST_COUNTED else None
