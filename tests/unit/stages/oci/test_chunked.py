"""Chunks that break and go on, against a registry in memory that keeps what it got of a broken request."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import RemoteError, StageFailed, TemporaryRemoteError
from pipeline.model import Descriptor
from pipeline.reference import Digest, Repository
from stages.oci.blob_stream import Blob
from stages.oci.chunked import Chunked
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.exchange import Timeouts
from stages.oci.retries import Retries
from stages.oci.sessions import Sessions
from stages.oci.transport import Transport
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.faults import Fault, Plan, Seen, nothing
from tests.support.loopback import MemoryRegistry, Received, Reply, refused, serving

CHUNK = 256 * 1024
CONTENT = hashlib.shake_256(b"weights").digest(8 * CHUNK - 1000)
DIGEST = Digest.of(CONTENT)
PATH = ("team/model", DIGEST)
# Long enough for the registry to notice a cut before it is asked what it has.
QUICK = Retries(attempts=5, first_wait_s=0.1)


def blob(content: bytes = CONTENT, read_from: list[int] | None = None) -> Blob:
    def read(offset: int) -> Iterator[bytes]:
        if read_from is not None:
            read_from.append(offset)
        return (content[i : i + 50_000] for i in range(offset, len(content), 50_000))

    return Blob(descriptor=Descriptor(media_type="x", digest=DIGEST, size_bytes=len(CONTENT)), read=read)


def once(*faults: tuple[Callable[[Seen], bool], Fault]) -> Plan:
    """Break the first request that fits each condition."""
    left = list(faults)

    def plan(seen: Seen) -> Fault | None:
        for number, (fits, fault) in enumerate(left):
            if fits(seen):
                del left[number]
                return fault
        return None

    return plan


def chunk(number: int) -> Callable[[Seen], bool]:
    begin = f"{number * CHUNK}-"
    return lambda seen: seen.method == "PATCH" and seen.headers["Content-Range"].startswith(begin)


def method(name: str) -> Callable[[Seen], bool]:
    return lambda seen: seen.method == name


@contextmanager
def connected(
    registry: Callable[[Received], Reply | None],
    plan: Plan = nothing,
    *,
    sessions: Sessions | None = None,
    retries: Retries = QUICK,
    said: list[str] | None = None,
) -> Iterator[tuple[FaultProxy, RepositoryClient]]:
    with serving(registry) as server, fault_proxy(int(server.address.partition(":")[2]), plan) as proxy:
        host = f"127.0.0.1:{proxy.port}"
        transport = Transport(
            Endpoint(host=host, api_host=host),
            lambda: None,
            lambda _: None,
            timeouts=Timeouts(connect_s=2, read_s=2),
        )
        yield (
            proxy,
            RepositoryClient(
                repository=Repository(f"{host}/team/model"),
                transport=transport,
                uploads=Chunked(CHUNK),
                retries=retries,
                sessions=sessions or Sessions(),
                say=(said if said is not None else []).append,
            ),
        )
        transport.close()


def ranges(proxy: FaultProxy) -> list[str]:
    return [seen.headers["Content-Range"] for seen in proxy.of("PATCH")]


def test_a_big_blob_travels_in_chunks_that_follow_each_other() -> None:
    registry, sent, read_from = MemoryRegistry(), list[int](), list[int]()
    with connected(registry) as (proxy, client):
        pushed = client.push_blob(blob(read_from=read_from), sent=sent.append)
        starts = [int(each.partition("-")[0]) for each in ranges(proxy)]
        (put,) = proxy.of("PUT")
    assert registry.blobs[PATH] == CONTENT
    assert starts == [number * CHUNK for number in range(8)]
    assert ranges(proxy)[-1] == f"{7 * CHUNK}-{len(CONTENT) - 1}"
    assert put.length == 0
    assert (pushed.how, pushed.sent_bytes) == ("uploaded", len(CONTENT))
    assert (sent, sent[-1], read_from) == (sorted(sent), len(CONTENT), [0])


@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK])
def test_what_fits_into_one_chunk_is_one_request(size_bytes: int) -> None:
    content = CONTENT[:size_bytes]
    descriptor = Descriptor(media_type="x", digest=Digest.of(content), size_bytes=size_bytes)
    with connected(MemoryRegistry()) as (proxy, client):
        client.push_blob(Blob(descriptor=descriptor, read=lambda offset: iter([content[offset:]])))
        assert [put.length for put in proxy.of("PUT")] == [size_bytes]
        assert not proxy.of("PATCH")


def test_the_shortest_chunk_that_the_registry_takes_is_respected() -> None:
    def before(request: Received) -> Reply | None:
        if request.method != "POST":
            return None
        registry.uploads["1"] = bytearray()
        location = {"Location": "/v2/team/model/blobs/uploads/1"}
        return Reply(202, {**location, "OCI-Chunk-Min-Length": str(3 * CHUNK)})

    registry = MemoryRegistry(before=before)
    with connected(registry) as (proxy, client):
        client.push_blob(blob())
        assert [seen.length for seen in proxy.of("PATCH")] == [3 * CHUNK, 3 * CHUNK, 2 * CHUNK - 1000]


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_at_any_byte_costs_less_than_a_chunk(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - chooses bytes, guards nothing
    number, byte = chance.randrange(8), chance.randrange(CHUNK - 1000)
    registry = MemoryRegistry()
    with connected(registry, once((chunk(number), Fault("cut", byte)))) as (proxy, client):
        pushed = client.push_blob(blob())
        assert sum(seen.method == "POST" for seen in proxy.seen) == 1
        arrived = proxy.body_bytes()
    assert registry.blobs[PATH] == CONTENT
    assert len(CONTENT) <= arrived <= pushed.sent_bytes <= len(CONTENT) + CHUNK


FAULTS = {
    "the first byte": (chunk(3), Fault("cut", 0)),
    "429": (chunk(3), Fault("answer", status=429, headers={"Retry-After": "0"})),
    "500": (chunk(3), Fault("answer", status=500)),
    "stalled": (chunk(3), Fault("stall", 1000)),
    "the answer to a chunk is lost": (chunk(3), Fault("lose")),
    "the answer to a chunk is cut": (chunk(3), Fault("truncate")),
    "the last request is refused": (method("PUT"), Fault("answer", status=503)),
    "the last answer is lost": (method("PUT"), Fault("lose")),
    "the last answer is cut": (method("PUT"), Fault("truncate")),
    "416": (chunk(3), Fault("answer", status=416)),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_after_any_fault_the_upload_goes_on(fault: tuple[Callable[[Seen], bool], Fault]) -> None:
    registry = MemoryRegistry()
    with connected(registry, once(fault)) as (proxy, client):
        pushed = client.push_blob(blob())
        assert len(proxy.of("POST")) == 1
        arrived = proxy.body_bytes()
    assert registry.blobs[PATH] == CONTENT
    assert pushed.how == "uploaded"
    assert len(CONTENT) <= arrived <= len(CONTENT) + CHUNK


@pytest.mark.parametrize("byte", [0, 1, 12, 30, 60, 75, 90, 100, 110, 125, 140, 150, 160, 165, 170])
def test_an_answer_that_is_cut_at_any_byte_is_not_believed(byte: int) -> None:
    registry = MemoryRegistry()
    with connected(registry, once((chunk(3), Fault("clip", byte)))) as (proxy, client):
        pushed = client.push_blob(blob())
        assert len(proxy.of("POST")) == 1
        assert len(ranges(proxy)) == 8  # its bytes had arrived
        assert len(proxy.of("GET", "/uploads/")) == 1
    assert registry.blobs[PATH] == CONTENT
    assert pushed.sent_bytes == len(CONTENT)


def test_many_breaks_are_survived_as_long_as_each_leaves_some_progress() -> None:
    left = [50_000] * 8
    plan: Plan = lambda seen: Fault("cut", left.pop()) if left and seen.method == "PATCH" else None  # noqa: E731
    registry = MemoryRegistry()
    with connected(registry, plan, retries=Retries(attempts=3, first_wait_s=0.1)) as (_, client):
        client.push_blob(blob())
    assert registry.blobs[PATH] == CONTENT
    assert not left


def test_a_registry_that_never_gets_further_ends_the_push() -> None:
    plan: Plan = lambda seen: Fault("cut", 0) if seen.method == "PATCH" else None  # noqa: E731
    with connected(MemoryRegistry(), plan) as (proxy, client):
        with pytest.raises(TemporaryRemoteError):
            client.push_blob(blob())
        assert len(proxy.of("PATCH")) == QUICK.attempts


def test_a_token_that_expires_between_chunks_is_renewed() -> None:
    issued: list[str] = []

    def before(request: Received) -> Reply | None:
        if request.path == "/token":
            issued.append(f"token-{len(issued)}")
            return Reply(200, {}, f'{{"token": "{issued[-1]}", "expires_in": 3600}}'.encode())
        late = request.headers.get("Content-Range", "").startswith(f"{4 * CHUNK}-") or request.method == "PUT"
        good = {f"Bearer {token}" for token in issued[-1:]}
        if request.headers.get("Authorization") in good and (len(issued) > 1 or not late):
            return None
        realm = f'Bearer realm="http://{request.headers["Host"]}/token",service="s"'
        return refused(401, "UNAUTHORIZED", WWW_Authenticate=realm)

    registry = MemoryRegistry(before=before)
    with connected(registry) as (proxy, client):
        client.push_blob(blob())
        assert proxy.body_bytes() <= len(CONTENT) + CHUNK
    assert registry.blobs[PATH] == CONTENT
    assert len(issued) == 2


@pytest.mark.parametrize("status", [201, 400, 405, 413, 416, 501])
def test_a_registry_without_chunks_gets_the_blob_in_one_request(status: int) -> None:
    def before(request: Received) -> Reply | None:
        return Reply(status) if request.method == "PATCH" else None

    registry = MemoryRegistry(before=before)
    with connected(registry) as (proxy, client):
        assert client.push_blob(blob()).how == "uploaded"
        del registry.blobs[PATH]
        client.push_blob(blob())
        assert len(proxy.of("PATCH")) == 1  # it is not asked twice
        assert [put.length for put in proxy.of("PUT")] == [len(CONTENT)] * 2
    assert registry.blobs[PATH] == CONTENT


@pytest.mark.parametrize(("counts", "requests"), [(True, 8), (False, 1)])
def test_a_registry_that_says_204_takes_chunks_if_it_counts_them(counts: bool, requests: int) -> None:
    def before(request: Received) -> Reply | None:
        if request.method != "PATCH":
            return None
        there = registry.uploads[request.path.rpartition("/")[2]]
        there.extend(request.body)
        return Reply(204, {"Range": f"0-{len(there) - 1}"} if counts else {})

    registry = MemoryRegistry(before=before)
    with connected(registry) as (proxy, client):
        client.push_blob(blob())
        assert len(proxy.of("PATCH")) == requests
    assert registry.blobs[PATH] == CONTENT


@pytest.mark.parametrize("told", ["0-0", "0-1048575000", "nonsense"])
def test_a_registry_that_loses_count_gets_the_blob_in_one_request(told: str) -> None:
    def before(request: Received) -> Reply | None:
        return Reply(202, {"Range": told}) if request.method == "PATCH" else None

    registry = MemoryRegistry(before=before)
    with connected(registry) as (proxy, client):
        client.push_blob(blob())
        assert len(proxy.of("PATCH")) == 1
    assert registry.blobs[PATH] == CONTENT


def test_a_registry_that_does_not_count_is_believed_until_the_digest() -> None:
    def before(request: Received) -> Reply | None:
        if request.method != "PATCH":
            return None
        registry.uploads[request.path.rpartition("/")[2]].extend(request.body)
        return Reply(202)  # without Range, and without a new Location

    registry = MemoryRegistry(before=before)
    with connected(registry) as (proxy, client):
        client.push_blob(blob())
        assert len(proxy.of("PATCH")) == 8
    assert registry.blobs[PATH] == CONTENT


@pytest.mark.parametrize(
    "changed", [CONTENT[:-1], CONTENT + b"more", CONTENT[:-1] + b"?", b"?" + CONTENT[1:]]
)
def test_content_that_changed_is_never_completed(changed: bytes) -> None:
    registry = MemoryRegistry()
    with connected(registry) as (proxy, client):
        with pytest.raises(StageFailed, match="changed since the build"):
            client.push_blob(blob(changed))
        assert not proxy.of("PUT")
    assert not registry.blobs


def test_an_upload_with_foreign_bytes_is_begun_anew() -> None:
    """The registry has bytes of another writer: only the digest can tell, and it does."""

    def before(request: Received) -> Reply | None:
        if request.method == "GET" and "/uploads/" in request.path:
            there = registry.uploads[request.path.rpartition("/")[2]]
            there[:4] = b"evil"
        return None

    registry = MemoryRegistry(before=before)
    with connected(registry, once((chunk(2), Fault("cut", 1000)))) as (proxy, client):
        assert client.push_blob(blob()).how == "uploaded"
        assert len(proxy.of("POST")) == 2
    assert registry.blobs[PATH] == CONTENT


def test_a_digest_that_never_fits_fails() -> None:
    def before(request: Received) -> Reply | None:
        return refused(400, "DIGEST_INVALID") if request.method == "PUT" else None

    plan = once((chunk(2), Fault("cut", 1000)))
    with connected(MemoryRegistry(before=before), plan) as (proxy, client):
        with pytest.raises(RemoteError, match="DIGEST_INVALID"):
            client.push_blob(blob())
        assert len(proxy.of("PUT")) == 2


def test_an_upload_that_the_registry_forgot_begins_anew() -> None:
    def before(request: Received) -> Reply | None:
        if request.method == "GET" and "/uploads/" in request.path:
            registry.uploads.clear()
        return None

    registry = MemoryRegistry(before=before)
    with connected(registry, once((chunk(2), Fault("cut", 1000)))) as (proxy, client):
        client.push_blob(blob())
        assert len(proxy.of("POST")) == 2
    assert registry.blobs[PATH] == CONTENT


def broken_off(
    sessions: Sessions, registry: MemoryRegistry, proxy: FaultProxy, client: RepositoryClient
) -> None:
    """Push until the sixth chunk, and no further."""
    proxy.plan = lambda seen: Fault("cut", 0) if chunk(5)(seen) else None
    with pytest.raises(TemporaryRemoteError):
        client.push_blob(blob())
    assert not registry.blobs
    proxy.plan = nothing


def test_the_next_run_goes_on_inside_the_blob(tmp_path: Path) -> None:
    sessions, registry, read_from = Sessions(tmp_path / "uploads"), MemoryRegistry(), list[int]()
    with connected(registry, sessions=sessions) as (proxy, client):
        broken_off(sessions, registry, proxy, client)
        (kept,) = (tmp_path / "uploads").iterdir()
        assert kept.stat().st_mode & 0o777 == 0o600
        pushed = client.push_blob(blob(read_from=read_from))
    assert registry.blobs[PATH] == CONTENT
    assert pushed.sent_bytes == len(CONTENT) - 5 * CHUNK
    assert read_from == [5 * CHUNK]
    assert not list((tmp_path / "uploads").iterdir())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"http://127.0.0.1:1/v2/team/model/blobs/uploads/half-written",
        b"\xff\xfe\n",
        b"nonsense\n",
        b"http://[\n",
        b"/v2/team/model/blobs/uploads/unknown\n",
        b"https://elsewhere.example.com/v2/team/model/blobs/uploads/1\n",
    ],
)
def test_a_session_is_a_hint_that_is_never_trusted(tmp_path: Path, content: bytes) -> None:
    sessions, registry = Sessions(tmp_path / "uploads"), MemoryRegistry()
    with connected(registry, sessions=sessions) as (proxy, client):
        broken_off(sessions, registry, proxy, client)
        (kept,) = (tmp_path / "uploads").iterdir()
        kept.write_bytes(content)
        assert client.push_blob(blob()).sent_bytes == len(CONTENT)
    assert registry.blobs[PATH] == CONTENT


def test_the_urls_of_uploads_are_never_said(tmp_path: Path) -> None:
    said: list[str] = []
    faults = once((chunk(2), Fault("answer", status=500)), (chunk(4), Fault("cut", 1000)))
    with connected(MemoryRegistry(), faults, sessions=Sessions(tmp_path), said=said) as (_, client):
        client.push_blob(blob())
    assert len(said) >= 2
    assert not [line for line in said if "secret" in line or "/v2/" in line]


def test_a_known_blob_is_not_read() -> None:
    def read(_: int) -> Iterator[bytes]:
        raise AssertionError("the blob was read")

    descriptor = Descriptor(media_type="x", digest=DIGEST, size_bytes=len(CONTENT))
    registry = MemoryRegistry(blobs={PATH: CONTENT, ("team/base", DIGEST): CONTENT})
    with connected(registry) as (_, client):
        assert client.push_blob(Blob(descriptor=descriptor, read=read)).how == "exists"
        del registry.blobs[PATH]
        sibling = Repository(f"{client.repository.host}/team/base")
        pushed = client.push_blob(Blob(descriptor=descriptor, read=read), mount_from=[sibling])
    assert (pushed.how, pushed.sent_bytes) == ("mounted", 0)
