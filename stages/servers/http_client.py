"""What the protocols over HTTP have in common: a session, short questions, and words for what came back."""

import asyncio
import errno
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from stages.servers.connections import IDLE_S
from stages.servers.interface import LACKING, Answer, Target

if TYPE_CHECKING:
    import aiohttp

JSON = {"Content-Type": "application/json"}
QUESTION_S = 5
LARGEST_QUESTION_BYTES = 2**24  # of the answer to one: thousands of models are listed in less
EXCERPT_CHARACTERS = 200
LONGEST_LINE_BYTES = 2**20
SHOWN_NAMES = 20
# Uncompressed, as the lean connections ask: to compress costs a server time, and keeps tokens back.
PLAIN = {"Accept-Encoding": "identity"}
_OUR_LACK = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS})


@asynccontextmanager
async def session_to(target: Target, *, reuse: bool = True) -> AsyncIterator["aiohttp.ClientSession"]:
    """Lend a session with the target; every connection is closed at the end, or after each answer."""
    import aiohttp

    # no limit: how much is on its way at once is the load's decision, and must not wait for us
    if reuse:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S)
    else:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(
        f"http://{target.authority}",
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=LONGEST_LINE_BYTES,
        headers=PLAIN,
        auto_decompress=False,
    ) as session:
        yield session


async def ask(
    session: "aiohttp.ClientSession", method: str, path: str, body: bytes | None = None
) -> tuple[int, bytes]:
    """Return status and body, as far as it is kept; status 0 where there was no answer in a short time."""
    import aiohttp

    try:
        async with (
            asyncio.timeout(QUESTION_S),
            session.request(method, path, data=body, headers=JSON, allow_redirects=False) as response,
        ):
            return response.status, await read(response, LARGEST_QUESTION_BYTES)
    except (aiohttp.ClientError, TimeoutError):
        return 0, b""


async def read(response: "aiohttp.ClientResponse", most_bytes: int) -> bytes:
    """Return the body, or its beginning where it is larger: a server may send without end."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > most_bytes:
            break
    return bytes(body[:most_bytes])


def unsent(error: OSError) -> Answer:
    """Return the answer for a request that came to nothing: by the server, or by what this machine lacks."""
    said = f"{type(error).__name__}: {error}"
    if error.errno in _OUR_LACK:
        return Answer(said, temporary=True, kind=LACKING)
    return Answer(said, temporary=True, kind="connection")


def named(names: Iterable[str]) -> str:
    """Return names in the order of the alphabet; of very many, the first ones."""
    known = sorted(names)
    more = f" and {len(known) - SHOWN_NAMES} others" if len(known) > SHOWN_NAMES else ""
    return f"{', '.join(known[:SHOWN_NAMES])}{more}"


def excerpt(body: bytes) -> str:
    """Return the beginning of a body on one line."""
    text = " ".join(body[: 4 * EXCERPT_CHARACTERS].decode(errors="replace").split())
    return text if len(text) <= EXCERPT_CHARACTERS else f"{text[: EXCERPT_CHARACTERS - 1]}…"


def parsed(body: bytes) -> object:
    """Return a JSON document, or None where it is none."""
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document


def object_in(body: bytes) -> dict[str, Any]:
    """Return a JSON object, or an empty one where it is none."""
    document = parsed(body)
    return document if isinstance(document, dict) else {}


def objects_in(document: object) -> list[dict[str, Any]]:
    """Return the objects of a list; nothing where it is none."""
    return [entry for entry in document if isinstance(entry, dict)] if isinstance(document, list) else []
