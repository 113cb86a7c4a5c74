from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.errors import RemoteError
from pipeline.model import Descriptor
from pipeline.reference import Digest, Repository
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.layout import INDEX_TYPE
from stages.oci.referrers import Referrers
from stages.oci.retries import Retries
from stages.oci.transport import Transport
from stages.oci.uploads import Monolithic
from tests.support.loopback import Answer, MemoryRegistry, Received, Reply, json_reply, serving

SUBJECT = Descriptor(media_type="x", digest=Digest.of(b"image"), size_bytes=5)
TAG = SUBJECT.digest.replace(":", "-")
SBOM = "application/vnd.cyclonedx+json"


@contextmanager
def connected(answer: Answer) -> Iterator[Referrers]:
    with serving(answer) as server:
        transport = Transport(
            Endpoint(host=server.address, api_host=server.address), lambda: None, lambda _: None
        )
        client = RepositoryClient(
            repository=Repository(f"{server.address}/team/model"),
            transport=transport,
            uploads=Monolithic(),
            retries=Retries(first_wait_s=0.001),
        )
        yield Referrers(client=client)
        transport.close()


def test_without_the_api_the_list_stands_under_a_tag() -> None:
    registry = MemoryRegistry()
    with connected(registry) as referrers:
        assert referrers.of(SUBJECT.digest) == ()
        first = referrers.push(SUBJECT, SBOM, b'{"a":1}', SBOM, {"made": "today"})
        second = referrers.push(SUBJECT, "text/x-report", b"fine", "text/plain")
        again = referrers.push(SUBJECT, SBOM, b'{"a":1}', SBOM, {"made": "today"})
        assert again == first
        assert referrers.of(SUBJECT.digest) == (first, second)
        assert referrers.of(SUBJECT.digest, SBOM) == (first,)
    manifest = json.loads(registry.manifests["team/model", first.descriptor.digest][1])
    assert manifest["subject"]["digest"] == SUBJECT.digest
    assert manifest["artifactType"] == SBOM
    assert ("team/model", manifest["layers"][0]["digest"]) in registry.blobs
    assert registry.manifests["team/model", TAG][0] == INDEX_TYPE


def test_a_registry_that_keeps_lists_gets_no_tag() -> None:
    def before(request: Received) -> Reply | None:
        if request.method == "PUT" and "/manifests/" in request.path:
            reply = registry.store_manifest(request)
            return Reply(reply.status, {**reply.headers, "OCI-Subject": SUBJECT.digest})
        return None

    registry = MemoryRegistry(before=before)
    with connected(registry) as referrers:
        referrers.push(SUBJECT, SBOM, b"{}", SBOM)
    assert ("team/model", TAG) not in registry.manifests


def test_all_pages_of_a_list_are_read() -> None:
    def entry(text: bytes) -> dict[str, object]:
        return {"mediaType": "x", "digest": Digest.of(text), "size": 1, "artifactType": SBOM}

    def answer(request: Received) -> Reply | None:
        if request.path == "/v2/":
            return Reply(200)
        if request.asked("page") is None:
            link = f'<{request.path}?page=2>; rel="next"'
            return json_reply(200, {"manifests": [entry(b"1")]}, Link=link)
        return json_reply(200, {"manifests": [entry(b"2")]})

    with connected(answer) as referrers:
        found = [each.descriptor.digest for each in referrers.of(SUBJECT.digest)]
    assert found == [Digest.of(b"1"), Digest.of(b"2")]


def test_an_endless_list_ends() -> None:
    def answer(request: Received) -> Reply | None:
        link = f'<{request.path}>; rel="next"'
        return Reply(200) if request.path == "/v2/" else json_reply(200, {"manifests": []}, Link=link)

    with connected(answer) as referrers, pytest.raises(RemoteError, match="no end"):
        referrers.of(SUBJECT.digest)


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"manifests": [1]}', b'{"manifests": [{}]}'])
def test_a_list_that_is_none_is_refused(content: bytes) -> None:
    answer: Answer = lambda request: Reply(200) if request.path == "/v2/" else Reply(200, {}, content)  # noqa: E731
    with connected(answer) as referrers, pytest.raises(RemoteError, match="no index"):
        referrers.of(SUBJECT.digest)


def test_a_list_that_another_run_writes_at_the_same_time_keeps_both() -> None:
    """The first writing of our entry is overwritten by another run that has not seen it."""
    overwritten: list[bytes] = []

    def before(request: Received) -> Reply | None:
        if request.method == "PUT" and request.path.endswith(TAG) and not overwritten:
            overwritten.append(request.body)
            other = {"mediaType": "x", "digest": Digest.of(b"other"), "size": 1, "artifactType": "other"}
            registry.store_manifest(request)
            index = json.dumps({"schemaVersion": 2, "manifests": [other]}).encode()
            registry.manifests["team/model", TAG] = (INDEX_TYPE, index)
            return Reply(201)
        return None

    registry = MemoryRegistry(before=before)
    with connected(registry) as referrers:
        ours = referrers.push(SUBJECT, SBOM, b"{}", SBOM)
        found = referrers.of(SUBJECT.digest)
    assert [each.artifact_type for each in found] == ["other", SBOM]
    assert ours in found
