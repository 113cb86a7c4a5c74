"""The Open Inference Protocol, version 2, over HTTP with JSON: KServe, Triton, MLServer and others.

Source: the protocol's REST specification (open-inference/open-inference-protocol, rest/inference_rest.yaml),
and the model repository extension for the list of models.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pipeline.errors import StageFailed
from stages.servers.causes import LONGER
from stages.servers.connections import Connections, connections_to
from stages.servers.expectations import Tolerance
from stages.servers.http_client import (
    JSON,
    ask,
    excerpt,
    named,
    object_in,
    objects_in,
    parsed,
    session_to,
    unsent,
)
from stages.servers.interface import Answer, ModelServer, Payload, Target
from stages.servers.v2_request import outputs_differ, request_from

if TYPE_CHECKING:
    import aiohttp

LIVE = "/v2/health/live"
HEALTH = "/v2/health/ready"


class OpenInference:
    """Speaks the Open Inference Protocol version 2 over HTTP."""

    options: ClassVar[frozenset[str]] = frozenset()

    @asynccontextmanager
    async def connect(self, target: Target) -> AsyncIterator[ModelServer]:
        """Lend the server at the target; every connection to it is closed at the end."""
        async with session_to(target) as session, connections_to(target) as connections:
            yield HttpServer(session, connections, target)


class HttpServer:
    """One model at a server that speaks the protocol over HTTP."""

    def __init__(self, session: "aiohttp.ClientSession", connections: Connections, target: Target) -> None:
        self.session = session
        self.connections = connections
        self._target = target
        self.tolerance = Tolerance.of(target.tolerance)
        self.payloads = target.payloads
        self._last_good = b""
        self._missed = HEALTH, 0
        self.model = target.model

    async def unlive(self) -> str:
        """Ask for any answer at all."""
        status, _ = await self._get(LIVE)
        self._missed = (LIVE, status) if not status else self._missed
        return "" if status else f"{LIVE} answers nothing"  # not every server has it: any answer is life

    async def unready(self) -> str:
        """Ask for the server, its models, and the model."""
        path, status, missing = await self._missing()
        if missing:
            self._missed = path, status  # as a whole: the deadline may end any question halfway
        return missing

    async def _missing(self) -> tuple[str, int, str]:
        """Return the last question, the status of its answer, and what that means is missing."""
        status, _ = await self._get(HEALTH)
        if status != 200:
            return HEALTH, status, f"{HEALTH} answers {status or 'nothing'}"
        self.model = self.model or await self._ask_name()
        if self.model is None:
            return HEALTH, status, "the server lists no model yet"
        path = f"/v2/models/{self.model}/ready"
        status, body = await self._get(path)
        if status != 200:
            return path, status, f"{path} answers {status or 'nothing'} {excerpt(body)}".rstrip()
        ready = str(object_in(body).get("ready", True)).lower() != "false"
        return path, status, "" if ready else f"{path} says that it is not"

    async def advise(self) -> str:
        """Say what the last question means."""
        path, status = self._missed
        if status == 0:
            return f"It takes connections, but does not answer HTTP: is `benchmark.port` for HTTP? {LONGER}"
        if status == 200 and path == HEALTH:
            return f"The server has no model: does it look where `model.path` puts it? {LONGER}"
        if status == 200 or status >= 500:
            return f"Its log may say what it waits for. {LONGER}"
        if path == HEALTH:
            return (
                "Something answers there, but not by version 2 of the Open Inference Protocol: see "
                "`benchmark.port` and `benchmark.protocol`."
            )
        return other_model(self.model, await self._list(), unknown=status == 404)

    async def prepare(self) -> None:
        """Make a request of zeros from the metadata, where the user gave none."""
        if self.payloads:
            return
        status, body = await self._get(f"/v2/models/{self.model}")
        try:
            if status != 200:
                raise ValueError(f"the server answers {status or 'nothing'}")
            self.payloads = (Payload(body=request_from(object_in(body))),)
        except ValueError as error:
            advice = "Write an inference request into a JSON file and name it by `benchmark.request`."
            if status == 404:  # some servers call every model ready
                advice = f"{other_model(self.model, await self._list(), unknown=True)} Or: {advice}"
            raise StageFailed(
                f"cannot make a request from what /v2/models/{self.model} says: {error}",
                advice=advice,
                tail=excerpt(body),
            ) from error

    async def infer(self, payload: Payload) -> Answer:
        """Send one request as JSON."""
        request = self.connections.request("POST", self.path, payload.body, JSON)
        try:
            response = await self.connections.send(request)
        except OSError as error:
            return unsent(error)
        return replace(self._judge(response.status, response.body), at=response.at)

    @property
    def path(self) -> str:
        """Where inference requests go."""
        return f"/v2/models/{self.model}/infer"

    def same(self, expected: bytes, answer: bytes) -> str:
        """Compare the outputs."""
        # ids and versions beside them make no difference
        wanted, found = (object_in(one).get("outputs") for one in (expected, answer))
        return outputs_differ(wanted, found, self.tolerance)

    def _judge(self, status: int, body: bytes) -> Answer:
        if status == 200 and body == self._last_good:
            return Answer(body=body)  # the very bytes that were right before: reading them again costs time
        problem = problem_of(status, body)
        if problem:
            kind = f"HTTP {status}" if status != 200 else "form"
            return Answer(problem, temporary=status >= 500, kind=kind)
        self._last_good = body
        return Answer(body=body)

    async def _ask_name(self) -> str | None:
        """Return the name of the only model, or of the one that is called like the image."""
        names = await self._list()
        return choose([self._target.image] if names is None else names, self._target.image)

    async def _list(self) -> list[str] | None:
        """Return the names of the models, or None where the server does not list them."""
        status, body = await self._post("/v2/repository/index", b"{}")
        names = [entry.get("name") for entry in objects_in(parsed(body))]
        if status != 200:
            status, body = await self._get("/v2/models")
            told = object_in(body).get("models")
            names = told if isinstance(told, list) else []
        return [name for name in names if isinstance(name, str)] if status == 200 else None

    async def _get(self, path: str) -> tuple[int, bytes]:
        return await ask(self.session, "GET", path)

    async def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        return await ask(self.session, "POST", path, body)


def problem_of(status: int, body: bytes) -> str:
    """Return what is wrong with the answer to an inference request; nothing when it is right in form."""
    if status != 200:
        return f"{status} {excerpt(body)}".rstrip()
    answer = object_in(body)
    if error := answer.get("error"):
        return f"200 with an error inside: {excerpt(str(error).encode())}"
    outputs = answer.get("outputs")
    if not isinstance(outputs, list) or not outputs:
        return f"200 without outputs: {excerpt(body)}".rstrip()
    if not all(isinstance(output, dict) and "name" in output and "data" in output for output in outputs):
        return f"200 with an output that has no name or no data: {excerpt(body)}"
    return ""


def other_model(model: str | None, names: list[str] | None, *, unknown: bool) -> str:
    """Say which models the server has; None: it does not tell."""
    if names is not None and model in names:
        return f"The server knows the model, but does not get it ready. {LONGER}"
    if names:
        return f"Mend `benchmark.model`: the server has {named(names)}, and no {model}."
    if names is not None or unknown:
        return f"Mend `benchmark.model`: the server does not know {model}, and names no other."
    return f"Is `benchmark.model` right? {LONGER}"


def choose(names: list[str], image: str) -> str | None:
    """Return the only model, or the one that is called like the image; None where there is none.

    Raises:
        StageFailed: there are several.
    """
    if len(names) == 1 or image in names or not names:
        return image if image in names else next(iter(names), None)
    raise StageFailed(
        f"the server has several models: {named(names)}",
        advice="Say by `benchmark.model` which of them is measured.",
    )
