from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import RemoteError, StageFailed, TagConflict
from pipeline.model import BuiltImage, ImageTag
from pipeline.reference import Digest, Repository, Tag
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.image_content import ImageContent
from stages.oci.push_image import ImagePush
from stages.oci.transport import Transport
from stages.oci.uploads import Monolithic
from tests.support.loopback import MemoryRegistry, Received, Reply, Server, json_reply, serving
from tests.support.small_image import COMMIT, make_image

DIRTY = f"{COMMIT}-dirty"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 4096)
    return folder


@contextmanager
def pushing(
    registry: MemoryRegistry, image: BuiltImage, said: list[str] | None = None
) -> Iterator[tuple[Server, ImagePush]]:
    with serving(registry) as server:
        transport = Transport(
            Endpoint(host=server.address, api_host=server.address), lambda: None, lambda _: None
        )
        client = RepositoryClient(
            repository=Repository(f"{server.address}/team/small"), transport=transport, uploads=Monolithic()
        )
        say = (said if said is not None else []).append
        yield server, ImagePush(content=ImageContent.of(image), tag=image.tag, client=client, say=say)
        transport.close()


def test_manifests_come_after_all_that_they_name_and_the_tag_comes_last(tmp_path: Path, model: Path) -> None:
    platforms = ("linux/amd64", "linux/arm64")
    image = make_image(tmp_path / "image", {"app.py": b"1"}, model=model, platforms=platforms)
    with pushing(MemoryRegistry(), image) as (server, push):
        pushed = push.run()
        puts = [
            request.path.removeprefix("/v2/team/small/")
            for request in server.received
            if request.method == "PUT"
        ]
    assert [path.partition("/")[0] for path in puts] == ["blobs"] * 5 + ["manifests"] * 3
    children = {f"manifests/{each.manifest.digest}" for each in image.platforms}
    assert set(puts[5:7]) == children
    assert puts[7] == f"manifests/{image.tag}"
    assert pushed.digest == image.digest
    assert {blob.how for blob in pushed.blobs} == {"uploaded"}
    assert sum(blob.digest == image.model_layers[0].descriptor.digest for blob in pushed.blobs) == 1


def test_the_model_layer_arrives_though_the_layout_does_not_hold_it(tmp_path: Path, model: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"}, model=model)
    registry = MemoryRegistry()
    with pushing(registry, image) as (_, push):
        push.run()
    layer = image.model_layers[0].descriptor
    assert not (image.layout / "blobs" / "sha256" / layer.digest.encoded).exists()
    assert len(registry.blobs["team/small", layer.digest]) == layer.size_bytes


def test_a_second_push_sends_nothing(tmp_path: Path, model: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"}, model=model)
    with pushing(MemoryRegistry(), image) as (server, push):
        push.run()
        before = len(server.received)
        again = push.run()
        methods = {request.method for request in server.received[before:]}
    assert again.tag_existed
    assert (again.bytes_sent, again.bytes_saved) == (0, push.content.size_bytes)
    assert methods == {"HEAD"}


def test_a_tag_with_another_digest_is_a_conflict_before_anything_is_sent(tmp_path: Path, model: Path) -> None:
    first = make_image(tmp_path / "first", {"app.py": b"1"}, model=model)
    second = make_image(tmp_path / "second", {"app.py": b"2"}, model=model)
    registry = MemoryRegistry()
    with pushing(registry, first) as (_, push):
        push.run()
    with pushing(registry, second) as (server, push):
        with pytest.raises(TagConflict) as caught:
            push.run()
        assert {request.method for request in server.received} == {"GET", "HEAD"}
    assert first.digest in caught.value.message
    assert second.digest in caught.value.message
    assert "Commit a change" in caught.value.advice


def test_a_dirty_tag_moves_and_says_so(tmp_path: Path) -> None:
    first = make_image(tmp_path / "first", {"app.py": b"1"}, tag=DIRTY)
    second = make_image(tmp_path / "second", {"app.py": b"2"}, tag=DIRTY)
    registry, said = MemoryRegistry(), list[str]()
    with pushing(registry, first) as (_, push):
        push.run()
    with pushing(registry, second, said) as (_, push):
        pushed = push.run()
    assert not pushed.tag_existed
    assert Digest.of(registry.manifests["team/small", DIRTY][1]) == second.digest
    (moved,) = [line for line in said if "moves from" in line]
    assert first.digest in moved
    assert second.digest in moved


def test_somebody_who_was_quicker_with_the_tag_is_not_overwritten(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"})
    other = Digest.of(b"other")

    def before(request: Received) -> Reply | None:
        # the tag appears while our blobs are on their way
        if request.method == "HEAD" and request.path.endswith(COMMIT) and registry.blobs:
            return Reply(200, {"Docker-Content-Digest": other})
        return None

    registry = MemoryRegistry(before=before)
    with pushing(registry, image) as (_, push), pytest.raises(TagConflict, match=other):
        push.run()
    assert not registry.manifests


def test_a_registry_that_holds_another_digest_after_the_push_fails_the_run(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"})
    other = Digest.of(b"other")

    def before(request: Received) -> Reply | None:
        if request.method == "HEAD" and request.path.endswith(COMMIT) and registry.manifests:
            return Reply(200, {"Docker-Content-Digest": other})
        return None

    registry = MemoryRegistry(before=before)
    with pushing(registry, image) as (_, push), pytest.raises(RemoteError, match="not sha256:") as caught:
        push.run()
    assert other in caught.value.message


@pytest.mark.parametrize("moves", [True, False])
def test_a_moving_tag_that_another_delivery_has_moved_on_by_now_fails_nobody(
    tmp_path: Path, moves: bool
) -> None:
    image, said = make_image(tmp_path / "image", {"app.py": b"1"}), list[str]()
    other = Digest.of(b"other")

    def before(request: Received) -> Reply | None:
        there = ("team/small", "latest") in registry.manifests and request.path.endswith("/latest")
        return Reply(200, {"Docker-Content-Digest": other}) if there and request.method == "HEAD" else None

    registry = MemoryRegistry(before=before)
    latest = ImageTag(tag=Tag("latest"), moves=moves)
    with pushing(registry, image, said) as (_, push):
        if moves:
            assert replace(push, further_tags=(latest,)).run().tags == ("latest",)
            assert any(f"latest is {other} by now: another delivery" in line for line in said)
        else:
            with pytest.raises(RemoteError, match="latest is sha256:"):
                replace(push, further_tags=(latest,)).run()


def test_a_model_that_changed_since_the_build_is_not_pushed(tmp_path: Path, model: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"}, model=model)
    (model / "weights.bin").write_bytes(bytes(256 * 4096))
    registry = MemoryRegistry()
    with (
        pushing(registry, image) as (_, push),
        pytest.raises(StageFailed, match=r"model: weights\.bin .* changed since"),
    ):
        push.run()
    assert not registry.manifests


def test_a_blob_that_is_nowhere_is_found_missing_before_the_push(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"})
    layer = image.platforms[0].application_layers[0].digest
    (image.layout / "blobs" / "sha256" / layer.encoded).unlink()
    with pytest.raises(StageFailed, match=f"{layer} .* is missing"):
        ImageContent.of(image)


def test_an_error_in_one_blob_is_the_error_of_the_push(tmp_path: Path, model: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"}, model=model)
    denied = json_reply(403, {"errors": [{"code": "DENIED"}]})
    registry = MemoryRegistry(before=lambda request: denied if request.method == "POST" else None)
    with pushing(registry, image) as (_, push), pytest.raises(RemoteError, match="DENIED"):
        push.run()
    assert not registry.manifests
