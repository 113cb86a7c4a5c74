from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import RemoteError
from pipeline.model import BuiltImage
from pipeline.reference import Repository
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.image_content import ImageContent
from stages.oci.push_image import ImagePush
from stages.oci.transport import Transport
from stages.oci.uploads import Monolithic
from stages.registries import distribution_api
from tests.support.loopback import MemoryRegistry, serving
from tests.support.small_image import make_image


@pytest.fixture
def image(tmp_path: Path) -> BuiltImage:
    return make_image(tmp_path / "image", {"app.py": b"1"}, platforms=("linux/amd64", "linux/arm64"))


@contextmanager
def pushed(registry: MemoryRegistry, image: BuiltImage) -> Iterator[tuple[RepositoryClient, ImageContent]]:
    with serving(registry) as server:
        transport = Transport(
            Endpoint(host=server.address, api_host=server.address), lambda: None, lambda _: None
        )
        client = RepositoryClient(
            repository=Repository(f"{server.address}/team/small"), transport=transport, uploads=Monolithic()
        )
        content = ImageContent.of(image)
        ImagePush(content=content, tag=image.tag, client=client, say=lambda _: None).run()
        yield client, content
        transport.close()


def test_what_was_pushed_is_read_back_and_counted(image: BuiltImage) -> None:
    with pushed(MemoryRegistry(), image) as (client, content):
        evidence = distribution_api.read_back(client, content)
    assert (evidence.manifests_compared, evidence.blobs_found) == (3, 4)
    assert (evidence.asked, evidence.media_type) == ("OCI distribution API", image.media_type)


def test_a_blob_that_is_gone_is_named(image: BuiltImage) -> None:
    registry = MemoryRegistry()
    with pushed(registry, image) as (client, content):
        lost = content.blobs[0].descriptor.digest
        del registry.blobs["team/small", lost]
        with pytest.raises(RemoteError, match=f"{lost} is missing after the push"):
            distribution_api.read_back(client, content)


def test_a_manifest_that_is_gone_is_named(image: BuiltImage) -> None:
    registry = MemoryRegistry()
    with pushed(registry, image) as (client, content):
        lost = content.children[0].descriptor.digest
        del registry.manifests["team/small", lost]
        with pytest.raises(RemoteError, match=f"{lost} is missing after the push"):
            distribution_api.read_back(client, content)


def test_a_manifest_of_another_type_is_not_what_was_pushed(image: BuiltImage) -> None:
    registry = MemoryRegistry()
    with pushed(registry, image) as (client, content):
        key = ("team/small", image.digest)
        registry.manifests[key] = ("application/json", registry.manifests[key][1])
        with pytest.raises(RemoteError, match="is called application/json after the push"):
            distribution_api.read_back(client, content)


def test_a_manifest_with_other_bytes_is_refused(image: BuiltImage) -> None:
    registry = MemoryRegistry()
    with pushed(registry, image) as (client, content):
        key = ("team/small", image.digest)
        media_type, body = registry.manifests[key]
        registry.manifests[key] = (media_type, body + b" ")
        with pytest.raises(RemoteError, match="the registry answered with"):
            distribution_api.read_back(client, content)


def test_a_repository_tells_what_its_tag_names(image: BuiltImage) -> None:
    with pushed(MemoryRegistry(), image) as (client, _):
        state = distribution_api.inspect(client, image.tag)
        nothing = distribution_api.inspect(client, None)
    assert (state.tag_digest, state.exists, state.immutable_tags) == (image.digest, None, None)
    assert nothing.tag_digest is None
