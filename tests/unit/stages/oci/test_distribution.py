from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pipeline.errors import Interrupted, RemoteError, StageFailed, TemporaryRemoteError
from pipeline.model import Descriptor
from pipeline.reference import Digest, Repository, Tag
from stages.oci.authentication import Credentials
from stages.oci.blob_stream import Blob
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.layout import INDEX_TYPE
from stages.oci.retries import Retries
from stages.oci.transport import Transport
from stages.oci.uploads import Monolithic
from tests.support.loopback import Answer, MemoryRegistry, Received, Reply, Server, refused, serving

CONTENT = hashlib.shake_256(b"weights").digest(3 << 20)
DIGEST = Digest.of(CONTENT)
MANIFEST = b'{"schemaVersion":2}'
QUICK = Retries(first_wait_s=0.001)


def blob(content: bytes = CONTENT, described: bytes | None = None) -> Blob:
    described = content if described is None else described
    descriptor = Descriptor(media_type="x", digest=Digest.of(described), size_bytes=len(described))
    return Blob(
        descriptor=descriptor,
        read=lambda offset: (content[i : i + 65536] for i in range(offset, len(content), 65536)),
    )


@contextmanager
def connected(
    answer: Answer, path: str = "team/model", retries: Retries = QUICK
) -> Iterator[tuple[Server, RepositoryClient]]:
    with serving(answer) as server:
        transport = Transport(
            Endpoint(host=server.address, api_host=server.address), lambda: None, lambda _: None
        )
        repository = Repository(f"{server.address}/{path}")
        yield (
            server,
            RepositoryClient(
                repository=repository, transport=transport, uploads=Monolithic(), retries=retries
            ),
        )
        transport.close()


def base(client: RepositoryClient) -> Repository:
    return Repository(f"{client.repository.host}/team/base")


def on(method: str, part: str, *replies: Reply) -> Callable[[Received], Reply | None]:
    """Give these replies, one after the other, to the first requests of this kind."""
    left = list(replies)

    def answer(request: Received) -> Reply | None:
        if left and request.method == method and part in request.path:
            return left.pop(0)
        return None

    return answer


def test_a_blob_is_sent_in_one_put_with_its_length() -> None:
    registry, sent = MemoryRegistry(), list[int]()
    with connected(registry) as (server, client):
        assert client.push_blob(blob(), sent=sent.append).how == "uploaded"
        assert client.push_blob(blob()).how == "exists"
        puts = [request for request in server.received if request.method == "PUT"]
    assert registry.blobs["team/model", DIGEST] == CONTENT
    assert [put.headers["Content-Length"] for put in puts] == [str(len(CONTENT))]
    assert puts[0].asked("_state") == "secret"  # the location's own query is kept
    assert (sent, sent[-1]) == (sorted(sent), len(CONTENT))


def test_an_empty_blob_can_be_sent() -> None:
    registry = MemoryRegistry()
    with connected(registry) as (_, client):
        assert client.push_blob(blob(b"")).how == "uploaded"
    assert registry.blobs["team/model", Digest.of(b"")] == b""


def test_a_blob_of_another_repository_is_mounted() -> None:
    registry = MemoryRegistry(blobs={("team/base", DIGEST): CONTENT})
    with connected(registry) as (server, client):
        assert client.push_blob(blob(), mount_from=[base(client)]).how == "mounted"
        assert not [request for request in server.asked() if request.startswith("PUT")]


def test_an_upload_that_is_opened_instead_of_a_mount_is_used() -> None:
    with connected(MemoryRegistry()) as (server, client):
        assert client.push_blob(blob(), mount_from=[base(client)]).how == "uploaded"
        assert sum(request.startswith("POST") for request in server.asked()) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_refused_mount_becomes_an_upload(status: int) -> None:
    registry = MemoryRegistry(before=on("POST", "uploads", refused(status, "DENIED")))
    with connected(registry) as (_, client):
        assert client.push_blob(blob(), mount_from=[base(client)]).how == "uploaded"
    assert registry.blobs["team/model", DIGEST] == CONTENT


def test_nothing_is_mounted_from_another_registry() -> None:
    with connected(MemoryRegistry()) as (server, client):
        client.push_blob(blob(), mount_from=[Repository("elsewhere.example.com/team/base")])
        (post,) = [request for request in server.received if request.method == "POST"]
    assert post.query == ()


def test_a_location_on_another_host_gets_the_blob_and_not_our_authorization() -> None:
    user = Credentials(username="ci", secret="password", origin="a test")
    registry = MemoryRegistry(uploads={"1": bytearray()})
    with serving(registry) as storage:

        def answer(request: Received) -> Reply | None:
            if "Authorization" not in request.headers:
                return Reply(401, {"WWW-Authenticate": 'Basic realm="x"'})
            if request.method == "POST":
                return Reply(202, {"Location": f"{storage.url}/v2/team/model/blobs/uploads/1?signature=x"})
            return Reply(404)

        with serving(answer) as server:
            endpoint = Endpoint(host=server.address, api_host=server.address)
            transport = Transport(endpoint, lambda: user, lambda _: None)
            client = RepositoryClient(
                repository=Repository(f"{server.address}/team/model"),
                transport=transport,
                uploads=Monolithic(),
            )
            assert client.push_blob(blob()).how == "uploaded"
            transport.close()
        assert [request.headers.get("Authorization") for request in storage.received] == [None]


def test_another_host_may_not_say_where_our_password_goes() -> None:
    """The attack of CVE-2020-15157: a place that we are sent to asks for a login of its own."""
    user = Credentials(username="ci", secret="password", origin="a test")

    def steal(request: Received) -> Reply | None:
        realm = f'Bearer realm="http://{request.headers["Host"]}/token",service="s"'
        return Reply(401, {"WWW-Authenticate": realm})

    with serving(steal) as thief:

        def answer(request: Received) -> Reply | None:
            if "Authorization" not in request.headers:
                return Reply(401, {"WWW-Authenticate": 'Basic realm="x"'})
            return Reply(202, {"Location": f"{thief.url}/x"}) if request.method == "POST" else Reply(404)

        with serving(answer) as server:
            endpoint = Endpoint(host=server.address, api_host=server.address)
            transport = Transport(endpoint, lambda: user, lambda _: None)
            client = RepositoryClient(
                repository=Repository(f"{server.address}/team/model"),
                transport=transport,
                uploads=Monolithic(),
            )
            with pytest.raises(RemoteError):
                client.push_blob(blob())
            transport.close()
        assert [(request.method, request.headers.get("Authorization")) for request in thief.received] == [
            ("PUT", None)
        ]


@pytest.mark.parametrize(
    "location",
    [
        "http://[",
        "https://[::1",
        "//[",
        "http://127.0.0.1:99999/",
        f"http://{'a' * 64}.localhost/",
        "ftp://x/",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_location_that_is_none_is_a_clear_error(location: str, method: str) -> None:
    reply = Reply(307, {"Location": location}) if method == "PUT" else Reply(202, {"Location": location})
    with (
        connected(MemoryRegistry(before=on(method, "uploads", reply))) as (_, client),
        pytest.raises(RemoteError) as caught,
    ):
        client.push_blob(blob())
    assert caught.value.advice


def test_an_upload_goes_on_after_the_token_expired_on_its_way() -> None:
    challenge = 'Bearer realm="http://{}/token",service="s"'
    issued: list[str] = []

    def before(request: Received) -> Reply | None:
        if request.path == "/token":
            issued.append(f"token-{len(issued)}")
            return Reply(200, {}, f'{{"token": "{issued[-1]}"}}'.encode())
        good = {f"Bearer {token}" for token in issued[-1:]}
        if request.method == "PUT" and len(issued) == 1:
            good = set()
        if request.headers.get("Authorization") in good:
            return None
        host = request.headers["Host"]
        return refused(401, "UNAUTHORIZED", WWW_Authenticate=challenge.format(host))

    registry = MemoryRegistry(before=before)
    with connected(registry) as (server, client):
        assert client.push_blob(blob()).how == "uploaded"
        assert sum(request.startswith("POST") for request in server.asked()) == 1
    assert registry.blobs["team/model", DIGEST] == CONTENT
    assert len(issued) == 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply(429, {"Retry-After": "0"}),
        Reply(500),
        Reply(503),
        Reply(522),
        Reply(200, cut=True),
        refused(404, "BLOB_UPLOAD_UNKNOWN"),
        refused(416, "BLOB_UPLOAD_INVALID"),
    ],
)
def test_a_broken_upload_begins_anew(reply: Reply) -> None:
    registry = MemoryRegistry(before=on("PUT", "uploads", reply, reply))
    with connected(registry) as (server, client):
        assert client.push_blob(blob()).how == "uploaded"
        assert sum(request.startswith("POST") for request in server.asked()) == 3
    assert registry.blobs["team/model", DIGEST] == CONTENT


def test_trying_again_ends() -> None:
    registry = MemoryRegistry(before=lambda request: None if request.path == "/v2/" else Reply(503))
    with connected(registry, retries=Retries(attempts=3, first_wait_s=0.001)) as (server, client):
        with pytest.raises(TemporaryRemoteError, match="503 Service Unavailable"):
            client.has_blob(DIGEST)
        assert server.asked().count(f"HEAD /v2/team/model/blobs/{DIGEST}") == 3


def test_a_wait_that_is_too_long_is_not_waited_for() -> None:
    reply = refused(429, "TOOMANYREQUESTS", "pull rate limit", Retry_After="3600")
    with (
        connected(MemoryRegistry(before=on("HEAD", "blobs", reply))) as (_, client),
        pytest.raises(TemporaryRemoteError, match="429") as caught,
    ):
        client.has_blob(DIGEST)
    assert caught.value.retry_after_s == 3600


@pytest.mark.parametrize("described", [CONTENT[:-1], CONTENT + b"more", CONTENT[:-1] + b"?"])
def test_content_that_changed_is_never_completed(described: bytes) -> None:
    registry = MemoryRegistry()
    with connected(registry) as (server, client):
        with pytest.raises(StageFailed, match="changed since the build"):
            client.push_blob(blob(CONTENT, described))
        server.wait_for("PUT")  # the server notes it once the connection is broken
        (put,) = [request for request in server.received if request.method == "PUT"]
    assert len(put.body) < len(described)
    assert not registry.blobs


def test_another_digest_than_ours_fails_the_push() -> None:
    other = Digest.of(b"other")
    reply = Reply(201, {"Docker-Content-Digest": other})
    with connected(MemoryRegistry(before=on("PUT", "", reply, reply))) as (_, client):
        with pytest.raises(RemoteError, match=other) as caught:
            client.push_blob(blob())
        assert DIGEST in caught.value.message
        with pytest.raises(RemoteError, match=other):
            client.push_manifest(Tag("v1"), MANIFEST, INDEX_TYPE)


def test_a_manifest_is_written_and_read_as_the_bytes_that_it_is() -> None:
    with connected(MemoryRegistry()) as (_, client):
        assert client.find_manifest(Tag("v1")) is None
        assert client.read_manifest(Tag("v1")) is None
        client.push_manifest(Tag("v1"), MANIFEST, INDEX_TYPE)
        digest = Digest.of(MANIFEST)
        described = Descriptor(media_type=INDEX_TYPE, digest=digest, size_bytes=len(MANIFEST))
        assert client.find_manifest(Tag("v1")) == digest
        assert client.read_manifest(Tag("v1")) == client.read_manifest(digest) == (described, MANIFEST)


def test_every_kind_of_manifest_is_accepted() -> None:
    with connected(MemoryRegistry()) as (server, client):
        client.find_manifest(Tag("v1"))
        accepted = server.received[-1].headers["Accept"]
    for kind in ("oci.image.index", "oci.image.manifest", "distribution.manifest.v2", "manifest.list.v2"):
        assert kind in accepted


@pytest.mark.parametrize("told", [{}, {"Docker-Content-Digest": "sha512:abc"}])
def test_a_registry_that_does_not_tell_our_kind_of_digest_is_asked_for_the_bytes(
    told: dict[str, str],
) -> None:
    silent = Reply(200, {"Content-Type": INDEX_TYPE, **told}, MANIFEST)
    with connected(MemoryRegistry(before=lambda r: silent if "/manifests/" in r.path else None)) as (
        _,
        client,
    ):
        assert client.find_manifest(Tag("v1")) == Digest.of(MANIFEST)


def test_bytes_that_do_not_fit_their_digest_are_refused() -> None:
    lie = Reply(200, {}, b"something else")
    with connected(MemoryRegistry(before=lambda r: lie if r.path != "/v2/" else None)) as (_, client):
        with pytest.raises(RemoteError, match="was expected"):
            client.read_blob(DIGEST)
        with pytest.raises(RemoteError, match="was expected"):
            client.read_manifest(DIGEST)


def test_a_small_blob_is_read() -> None:
    with connected(MemoryRegistry(blobs={("team/model", DIGEST): CONTENT})) as (_, client):
        assert client.read_blob(DIGEST) == CONTENT


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (403, "DENIED", "needs the right to push"),
        (404, "NAME_UNKNOWN", "Create the repository"),
        (400, "NAME_INVALID", "does not take the name"),
        (400, "TAG_INVALID", "immutable"),
        (400, "MANIFEST_BLOB_UNKNOWN", "Run again"),
        (405, "UNSUPPORTED", "takes pushes"),
        (413, "", "client_max_body_size"),
        (418, "", "administrator"),
    ],
)
def test_a_refusal_says_what_to_do(status: int, code: str, advice: str) -> None:
    reply = refused(status, code, "said the registry") if code else Reply(status, {}, b"<html>nginx</html>")
    with connected(MemoryRegistry(before=on("PUT", "manifests", reply))) as (_, client):
        with pytest.raises(RemoteError) as caught:
            client.push_manifest(Tag("v1"), MANIFEST, INDEX_TYPE)
        assert client.repository.host in caught.value.message
    assert not isinstance(caught.value, TemporaryRemoteError)
    assert "team/model" in caught.value.message
    assert (code or str(status)) in caught.value.message
    assert advice in caught.value.advice


def test_a_registry_that_changes_what_it_was_given_is_not_retried_for_ever() -> None:
    reply = refused(400, "DIGEST_INVALID")
    with connected(MemoryRegistry(before=on("PUT", "uploads", *[reply] * 9))) as (server, client):
        with pytest.raises(RemoteError, match="DIGEST_INVALID"):
            client.push_blob(blob())
        assert sum(request.startswith("PUT") for request in server.asked()) == 1


def test_a_stopped_transport_sends_no_more() -> None:
    with connected(MemoryRegistry()) as (server, client):
        client.transport.stopped.set()
        with pytest.raises(Interrupted):
            client.push_blob(blob())
        assert not any(request.body for request in server.received if request.method == "PUT")


def test_an_upload_without_a_location_is_an_error() -> None:
    with (
        connected(MemoryRegistry(before=on("POST", "uploads", Reply(202)))) as (_, client),
        pytest.raises(RemoteError, match="without saying where"),
    ):
        client.push_blob(blob())


@pytest.mark.parametrize("offset", [0, 1, 1 << 20, (3 << 20) - 1])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_blob_is_streamed_from_any_byte_on(offset: int, ranges: bool) -> None:
    whole = on("GET", "/blobs/", Reply(200, {}, CONTENT)) if not ranges else on("GET", "/blobs/")
    registry = MemoryRegistry(before=whole, blobs={("team/model", DIGEST): CONTENT})
    with connected(registry) as (server, client):
        pieces = list(client.stream_blob(DIGEST, offset))
        asked = [request.headers.get("Range") for request in server.received if "/blobs/" in request.path]
    assert b"".join(pieces) == CONTENT[offset:]
    assert max(map(len, pieces)) <= 1 << 20
    assert asked == [f"bytes={offset}-" if offset else None]


def test_a_streamed_blob_comes_from_where_the_registry_sends_us() -> None:
    with serving(lambda request: Reply(206, {"Content-Range": "bytes 5-9/10"}, b"56789")) as storage:
        moved = on("GET", "/blobs/", Reply(307, {"Location": f"{storage.url}/x?signature=secret"}))
        with connected(MemoryRegistry(before=moved)) as (_, client):
            assert b"".join(client.stream_blob(DIGEST, 5)) == b"56789"
        assert [request.headers["Range"] for request in storage.received] == ["bytes=5-"]


def test_a_stream_of_other_bytes_than_asked_for_is_refused() -> None:
    other = on("GET", "/blobs/", Reply(206, {"Content-Range": "bytes 0-9/10"}, b"0123456789"))
    with (
        connected(MemoryRegistry(before=other)) as (_, client),
        pytest.raises(RemoteError, match="from 5 on, the answer is 'bytes 0-9/10'"),
    ):
        list(client.stream_blob(DIGEST, 5))
