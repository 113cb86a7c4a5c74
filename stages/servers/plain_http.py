"""Any server over HTTP: a path, a method, a body, and the status that a good answer has.

Options (`benchmark.options`): `path` of the requests, `method`, `status` of a good answer (default: any of
200 to 299), `ready_path` that answers such a status when the model is ready (default: the first request
says so), `template`: a text in path and body, such as `{n}`, in whose place each request has a number of
its own.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, ClassVar

from stages.servers.causes import LONGER
from stages.servers.connections import Connections, Response, connections_to
from stages.servers.expectations import Tolerance, difference
from stages.servers.http_client import ask, excerpt, parsed, session_to, unsent
from stages.servers.interface import Answer, ModelServer, Payload, Target

if TYPE_CHECKING:
    import aiohttp

OPTIONS = frozenset({"path", "method", "status", "ready_path", "template"})


class PlainHttp:
    """Speaks plain HTTP: what is sent and what is expected, the user says."""

    options: ClassVar[frozenset[str]] = OPTIONS

    def problem_of(self, options: Mapping[str, str], payloads: Sequence[Payload]) -> str:
        """Return what is wrong with what the user gave; nothing where it can be sent."""
        del payloads
        status = options.get("status", "200")
        return "" if status.isdecimal() else f"benchmark.options: status {status!r} is no number, such as 200"

    @asynccontextmanager
    async def connect(self, target: Target) -> AsyncIterator[ModelServer]:
        """Lend the server at the target; every connection to it is closed at the end."""
        async with session_to(target) as session, connections_to(target) as connections:
            yield _Server(session, connections, target)


class _Server:
    def __init__(self, session: "aiohttp.ClientSession", connections: Connections, target: Target) -> None:
        self._session = session
        self._connections = connections
        self._path = _from_root(target.options.get("path", "/"))
        ready_path = target.options.get("ready_path")
        self._ready_path = None if ready_path is None else _from_root(ready_path)
        self._method = target.options.get("method", "POST" if target.payloads else "GET").upper()
        self._status = target.options.get("status")
        self._tolerance = Tolerance.of(target.tolerance)
        self._template = target.options.get("template", "")
        self._numbers = count(1)
        self._missed = 0
        self.payloads = target.payloads or (Payload(body=b""),)
        self.model = target.model

    async def unlive(self) -> str:
        path = self._ready_path or "/"
        self._missed, _ = await ask(self._session, "GET", path)
        return "" if self._missed else f"{path} answers nothing"

    async def unready(self) -> str:
        if self._ready_path is None:
            return ""
        self._missed, body = await ask(self._session, "GET", self._ready_path)
        if 200 <= self._missed < 300:
            return ""
        return f"{self._ready_path} answers {self._missed or 'nothing'} {excerpt(body)}".rstrip()

    async def advise(self) -> str:
        if self._missed == 0:
            return f"It takes connections, but does not answer HTTP: is `benchmark.port` for HTTP? {LONGER}"
        if self._missed in {404, 405}:
            return "Mend `ready_path` in `benchmark.options`: the server has nothing there."
        return f"Its log may say what it waits for. {LONGER}"

    async def prepare(self) -> None:
        """Do nothing: what is sent, the user says."""

    async def infer(self, payload: Payload) -> Answer:
        headers = {"Content-Type": payload.content_type} if payload.body else {}
        path, body = self._path, payload.body
        if self._template:  # no answer comes from a cache that knows the request
            number = str(next(self._numbers))
            path = path.replace(self._template, number)
            body = body.replace(self._template.encode(), number.encode())
        request = self._connections.request(self._method, path, body, headers)
        try:
            return self._judge(await self._connections.send(request))
        except OSError as error:
            return unsent(error)

    def same(self, expected: bytes, answer: bytes) -> str:
        wanted, found = parsed(expected), parsed(answer)
        if wanted is not None and found is not None:
            return difference(wanted, found, self._tolerance)
        same = expected.strip() == answer.strip()
        return "" if same else f"it is {excerpt(answer)!r}, not {excerpt(expected)!r}"

    def _judge(self, response: Response) -> Answer:
        status, body = response.status, response.body
        good = 200 <= status < 300 if self._status is None else str(status) == self._status
        if good:
            return Answer(body=body, at=response.at)
        wanted = "" if self._status is None else f" (and not {self._status})"
        return Answer(
            f"{status}{wanted} {excerpt(body)}".rstrip(), temporary=status >= 500, kind=f"HTTP {status}"
        )


def _from_root(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"
