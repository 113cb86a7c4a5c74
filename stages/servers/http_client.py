"""What the protocols over HTTP have in common: a session, short questions, and words for what came back."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from stages.servers.interface import Target

if TYPE_CHECKING:
    import aiohttp

JSON = {"Content-Type": "application/json"}
# Below the 5 s after which common servers close an idle connection: a request that meets the closing fails.
IDLE_CONNECTION_S = 2
QUESTION_S = 5
EXCERPT_CHARACTERS = 200
LONGEST_LINE_BYTES = 2**20


@asynccontextmanager
async def session_to(target: Target, *, reuse: bool = True) -> AsyncIterator["aiohttp.ClientSession"]:
    """Lend a session with the target; every connection is closed at the end, or after each answer."""
    import aiohttp

    if reuse:
        connector = aiohttp.TCPConnector(limit=target.connections, keepalive_timeout=IDLE_CONNECTION_S)
    else:
        connector = aiohttp.TCPConnector(limit=target.connections, force_close=True)
    async with aiohttp.ClientSession(
        f"http://{target.host}:{target.port}",
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=LONGEST_LINE_BYTES,
    ) as session:
        yield session


async def ask(
    session: "aiohttp.ClientSession", method: str, path: str, body: bytes | None = None
) -> tuple[int, bytes]:
    """Return status and body; status 0 where there was no answer in a short time."""
    import aiohttp

    try:
        async with (
            asyncio.timeout(QUESTION_S),
            session.request(method, path, data=body, headers=JSON, allow_redirects=False) as response,
        ):
            return response.status, await response.read()
    except (aiohttp.ClientError, TimeoutError):
        return 0, b""


def excerpt(body: bytes) -> str:
    """Return the beginning of a body on one line."""
    text = " ".join(body[: 4 * EXCERPT_CHARACTERS].decode(errors="replace").split())
    return text if len(text) <= EXCERPT_CHARACTERS else f"{text[: EXCERPT_CHARACTERS - 1]}…"


def parsed(body: bytes) -> object:
    """Return a JSON document, or None where it is none."""
    try:
        document: object = json.loads(body)
    except ValueError:
        return None
    return document


def object_in(body: bytes) -> dict[str, Any]:
    """Return a JSON object, or an empty one where it is none."""
    document = parsed(body)
    return document if isinstance(document, dict) else {}


def objects_in(document: object) -> list[dict[str, Any]]:
    """Return the objects of a list; nothing where it is none."""
    return [entry for entry in document if isinstance(entry, dict)] if isinstance(document, list) else []
