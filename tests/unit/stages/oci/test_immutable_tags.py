from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import RemoteError, TagConflict
from pipeline.model import BuiltImage
from pipeline.reference import Repository
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.image_content import ImageContent
from stages.oci.push_image import ImagePush
from stages.oci.transport import Transport
from stages.oci.uploads import Monolithic
from tests.support.loopback import MemoryRegistry, Received, Reply, refused, serving
from tests.support.small_image import COMMIT, make_image

REFUSALS = {
    "Amazon ECR": (400, "TAG_INVALID", "The image tag 'x' already exists and cannot be overwritten"),
    "Artifact Registry": (400, "MANIFEST_INVALID", "cannot update tag x: it has enabled tag immutability"),
    "Harbor": (412, "PRECONDITION", "Failed to process request due to 'x' configured as immutable."),
}


@contextmanager
def pushing(registry: MemoryRegistry, image: BuiltImage) -> Iterator[ImagePush]:
    with serving(registry) as server:
        transport = Transport(
            Endpoint(host=server.address, api_host=server.address), lambda: None, lambda _: None
        )
        client = RepositoryClient(
            repository=Repository(f"{server.address}/team/small"), transport=transport, uploads=Monolithic()
        )
        yield ImagePush(content=ImageContent.of(image), tag=image.tag, client=client, say=lambda _: None)
        transport.close()


def refusing(kind: str, quicker: Received | None) -> MemoryRegistry:
    """Refuse the tag; another client has written its manifest (or nothing) just before."""
    registry = MemoryRegistry()
    status, code, message = REFUSALS[kind]

    def refuse(request: Received) -> Reply | None:
        if request.method != "PUT" or f"/manifests/{COMMIT}" not in request.path:
            return None
        if quicker is not None:
            registry.store_manifest(quicker if quicker.body else request)
        return refused(status, code, message)

    registry.before = refuse
    return registry


def manifest(content: bytes, tag: str = COMMIT) -> Received:
    headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
    return Received("PUT", f"/v2/team/small/manifests/{tag}", (), headers, content)


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_tag_that_somebody_wrote_with_our_digest_meanwhile_is_success(tmp_path: Path, kind: str) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"})
    with pushing(refusing(kind, manifest(b"")), image) as push:
        assert push.run().tag_existed


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_tag_that_somebody_wrote_with_another_digest_is_a_conflict(tmp_path: Path, kind: str) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"})
    registry = refusing(kind, manifest(b'{"config":{}}'))
    with pushing(registry, image) as push, pytest.raises(TagConflict, match="this build is"):
        push.run()


def test_a_tag_that_is_refused_and_not_there_is_an_error_of_the_registry(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"})
    registry = refusing("Amazon ECR", None)
    with pushing(registry, image) as push, pytest.raises(RemoteError, match="TAG_INVALID"):
        push.run()


def test_a_moving_tag_that_may_not_move_is_a_conflict_of_its_own(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"}, tag=f"{COMMIT}-dirty")
    registry = refusing("Amazon ECR", manifest(b'{"config":{}}', image.tag))
    with pushing(registry, image) as push, pytest.raises(TagConflict, match="tags are immutable") as caught:
        push.run()
    assert "Commit your changes" in caught.value.advice
