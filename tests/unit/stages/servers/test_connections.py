"""Answers in every form that HTTP/1.1 allows, and in some that it does not."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import uvloop

from stages.servers.connections import Connections, Response, connections_to
from stages.servers.interface import Target

T = TypeVar("T")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
FULL = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def talk(answers: list[bytes], scene: Callable[[Connections], Awaitable[T]]) -> tuple[T, list[bytes]]:
    """Serve one answer for each request on a connection, then close it; an empty answer never comes.

    Return what the scene gives, and the first line of what was asked, with the number of the connection.
    """
    asked: list[bytes] = []
    conversations: list[asyncio.Task[None]] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        for answer in answers:
            asked.append(b"%d %s" % (number, (await reader.readline()).strip()))
            while (await reader.readline()).strip():
                pass
            if not answer:
                await reader.read()
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.append(asyncio.create_task(converse(reader, writer, len(conversations))))

    async def play() -> T:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        target = Target(port=server.sockets[0].getsockname()[1])
        async with server:
            try:
                async with connections_to(target) as connections:
                    return await scene(connections)
            finally:
                await asyncio.wait_for(asyncio.gather(*conversations, return_exceptions=True), 5)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(play()), asked


async def get(connections: Connections) -> Response:
    return await connections.send(connections.request("GET", "/", b"", {}))


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (FULL, 200, b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (CHUNKED, 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.0 503 Busy\r\n\r\nhello", 503, b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + FULL, 200, b"hello"),
    ],
    ids=["length", "no-content", "chunked", "until-closed", "http-1.0", "continue"],
)
def test_an_answer_is_read_to_its_end(answer: bytes, status: int, body: bytes) -> None:
    found, _ = talk([answer], get)
    assert (found.status, found.body) == (status, body)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            "closed the connection before",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello", "no HTTP"),
    ],
    ids=["cut", "other-protocol", "bad-length"],
)
def test_half_an_answer_is_an_error(answer: bytes, words: str) -> None:
    with pytest.raises(ConnectionError, match=words):
        talk([answer], get)


def test_a_question_for_headers_alone_waits_for_no_body() -> None:
    async def scene(connections: Connections) -> Response:
        return await connections.send(connections.request("HEAD", "/", b"", {}))

    found, _ = talk([FULL.removesuffix(b"hello"), b""], scene)
    assert (found.headers[b"content-length"], found.body) == (b"5", b"")


def test_nobody_listens() -> None:
    async def play() -> None:
        async with connections_to(Target(port=1)) as connections:
            await get(connections)

    with pytest.raises(ConnectionRefusedError):
        asyncio.run(play())


async def get_twice(connections: Connections) -> tuple[bytes, bytes]:
    return (await get(connections)).body, (await get(connections)).body


@pytest.mark.parametrize(
    ("first", "connections"),
    [
        (FULL, {b"0"}),
        (FULL.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), {b"0", b"1"}),
        (FULL.replace(b"1.1", b"1.0"), {b"0", b"1"}),
    ],
    ids=["kept", "close", "http-1.0"],
)
def test_a_connection_is_used_again_where_the_server_keeps_it(first: bytes, connections: set[bytes]) -> None:
    bodies, asked = talk([first, FULL], get_twice)
    assert bodies == (b"hello", b"hello")
    assert {line.split()[0] for line in asked} == connections


def test_a_connection_that_the_server_has_closed_meanwhile_is_not_used() -> None:
    async def scene(connections: Connections) -> tuple[bytes, bytes]:
        first = (await get(connections)).body
        await asyncio.sleep(0.1)
        return first, (await get(connections)).body

    bodies, asked = talk([FULL], scene)
    assert bodies == (b"hello", b"hello")
    assert [line.split()[0] for line in asked] == [b"0", b"1"]


def test_an_answer_that_comes_too_late_is_never_taken_for_the_next_one() -> None:
    async def scene(connections: Connections) -> bytes:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await get(connections)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await get(connections)
        return b""

    _, asked = talk([b""], scene)
    assert [line.split()[0] for line in asked] == [b"0", b"1"]


def test_requests_at_once_have_a_connection_each() -> None:
    async def scene(connections: Connections) -> list[Response]:
        return await asyncio.gather(*(get(connections) for _ in range(5)))

    found, asked = talk([FULL], scene)
    assert {response.body for response in found} == {b"hello"}
    assert len({line.split()[0] for line in asked}) == 5


def test_a_request_says_what_it_sends() -> None:
    connections = Connections(Target(port=80))
    posted = connections.request("POST", "/a", b"{}", {"Content-Type": "text/plain"})
    assert posted == (
        b"POST /a HTTP/1.1\r\nHost: 127.0.0.1:80\r\nAccept: */*\r\nContent-Type: text/plain\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )
    assert b"Content-Length" not in connections.request("GET", "/", b"", {})
    assert b"Content-Length: 0" in connections.request("POST", "/", b"", {})
    assert connections.request("GET", "/ö b?c=%20", b"", {}).startswith(b"GET /%C3%B6%20b?c=%20 HTTP/1.1\r\n")


def test_an_address_of_version_6_stands_in_brackets() -> None:
    assert b"Host: [::1]:80\r\n" in Connections(Target(host="::1", port=80)).request("GET", "/", b"", {})


async def pour(begin: bytes, piece: bytes, largest_bytes: int) -> int:
    """Answer with a beginning and then without end; return how many bytes went until we hung up."""
    poured = 0
    over = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal poured
        await reader.readuntil(b"\r\n\r\n")
        try:
            writer.write(begin)
            while True:
                writer.write(piece)
                poured += len(piece)
                await writer.drain()
        except OSError:
            over.set()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
        connections = Connections(Target(port=server.sockets[0].getsockname()[1]), largest_bytes)
        with pytest.raises(ConnectionError, match="has no end, or is larger than any that is read"):
            async with asyncio.timeout(20):
                await get(connections)
        await asyncio.wait_for(over.wait(), 5)
    return poured


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Another: " + b"x" * 1000 + b"\r\n"),
    ],
    ids=["until-closed", "length", "chunked", "headers"],
)
def test_an_answer_without_end_is_given_up(begin: bytes, piece: bytes) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(pour(begin, piece, 2**22)) < 2**25


def test_an_error_tells_that_its_connection_was_kept_from_an_earlier_request() -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(FULL)
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def play() -> None:
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        target = Target(port=server.sockets[0].getsockname()[1])
        async with server, connections_to(target) as connections:
            await get(connections)
            await get(connections)

    with pytest.raises(ConnectionError, match="kept from an earlier request"):
        asyncio.run(play())
