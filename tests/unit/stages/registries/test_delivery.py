from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import PipelineError, RemoteError, TagConflict
from pipeline.model import BuiltImage, ImageTag, PushedImage
from pipeline.reference import Digest, Repository, Tag
from stages.oci.layout import Layout
from stages.oci.model_image import OwnImage, assemble_model_image, scratch
from stages.push import Push
from tests.support.loopback import MemoryRegistry, Received, Reply, Server, refused, serving
from tests.support.small_image import make_image


@pytest.fixture(autouse=True)
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGISTRY_USERNAME", "REGISTRY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "desk").mkdir()
    desk = Desk(folder=tmp_path / "desk", cache=tmp_path)
    yield desk
    desk.clear()


@pytest.fixture
def image(tmp_path: Path) -> BuiltImage:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(bytes(range(256)) * 4096)
    return make_image(tmp_path / "image", {"app.py": b"1"}, model=tmp_path / "model")


@pytest.fixture
def memories() -> list[MemoryRegistry]:
    return [MemoryRegistry() for _ in range(3)]


@pytest.fixture
def servers(memories: list[MemoryRegistry]) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        yield [stack.enter_context(serving(memory)) for memory in memories]


def stage(*names: str, tags: tuple[ImageTag, ...] = ()) -> Push:
    repositories = tuple(map(Repository, names))
    return Push(repositories=repositories, layout_folder=Path("/nowhere"), further_tags=tags)


def names(servers: list[Server]) -> list[str]:
    return [f"{server.address}/a/small" for server in servers]


def failed(push: Push, image: BuiltImage, desk: Desk) -> tuple[PipelineError, PushedImage]:
    with pytest.raises(PipelineError) as caught:
        push.run(Artifacts(image), desk)
    assert isinstance(caught.value.made, PushedImage)
    return caught.value, caught.value.made


def uploads_fail(request: Received) -> Reply | None:
    return refused(403, "DENIED", "no room for you") if request.method == "POST" else None


def test_registries_are_pushed_to_at_the_same_time(
    image: BuiltImage, desk: Desk, memories: list[MemoryRegistry], servers: list[Server]
) -> None:
    together = threading.Barrier(3, timeout=20)
    for memory in memories:
        first = iter([True])

        def meet(request: Received, first: Iterator[bool] = first) -> None:
            if request.method == "POST" and next(first, False):
                together.wait()

        memory.before = meet
    pushed = stage(*names(servers)).run(Artifacts(image), desk)
    assert [str(each.repository) for each in pushed.references] == names(servers)
    assert all(each.evidence is not None for each in pushed.references)


def test_one_that_fails_hides_no_other_and_a_second_run_does_what_is_missing(
    image: BuiltImage, desk: Desk, memories: list[MemoryRegistry], servers: list[Server]
) -> None:
    memories[1].before = uploads_fail
    push = stage(*names(servers))
    error, made = failed(push, image, desk)
    assert isinstance(error, RemoteError)
    assert [str(each.repository) for each in made.references] == [names(servers)[i] for i in (0, 2)]
    (failure,) = made.failures
    assert (failure.repository, failure.kind, failure.exit_code) == (names(servers)[1], "RemoteError", 5)
    told = error.message.splitlines()
    assert told[0] == "1 of 3 pushes failed"
    assert told[1] == f"  - {names(servers)[0]}: pushed as {image.tag}@{image.digest}"
    assert "DENIED (no room for you)" in told[2]
    assert "needs the right to push" in error.advice
    assert "what is there already is not sent again" in error.advice
    memories[1].before = lambda _: None
    again = push.run(Artifacts(image), desk)
    assert [each.bytes_sent > 0 for each in again.references] == [False, True, False]
    assert again.failures == ()


def test_of_several_errors_the_lowest_exit_code_counts(
    image: BuiltImage, desk: Desk, memories: list[MemoryRegistry], servers: list[Server]
) -> None:
    memories[0].manifests["a/small", image.tag] = ("application/vnd.oci.image.manifest.v1+json", b"{}")
    conflict, made = failed(stage(*names(servers)[:2]), image, desk)
    assert isinstance(conflict, TagConflict)
    assert [each.kind for each in made.failures] == ["TagConflict"]
    memories[1].blobs.clear()
    memories[1].before = uploads_fail
    both, made = failed(stage(*names(servers)[:2]), image, desk)
    assert (type(both), both.exit_code) == (RemoteError, 5)
    assert [each.kind for each in made.failures] == ["TagConflict", "RemoteError"]


def test_the_next_repository_of_a_registry_is_tried_though_the_first_failed(
    image: BuiltImage, desk: Desk, memories: list[MemoryRegistry], servers: list[Server]
) -> None:
    host = servers[0].address
    memories[0].before = lambda request: uploads_fail(request) if "/closed/" in request.path else None
    _, made = failed(stage(f"{host}/closed/small", f"{host}/open/small"), image, desk)
    assert [str(each.repository) for each in made.references] == [f"{host}/open/small"]


def test_an_application_goes_only_where_its_weights_are(
    tmp_path: Path, image: BuiltImage, desk: Desk, memories: list[MemoryRegistry], servers: list[Server]
) -> None:
    application = make_image(tmp_path / "application", {"app.py": b"1"})
    base = scratch(Layout.create(tmp_path / "scratch"), ["linux/amd64"])
    own = OwnImage(name="small-model", mounted_at="/mnt/models")
    weights = assemble_model_image(own, image.model_layers, base, Layout.create(application.layout))
    both = application.model_copy(update={"model_image": weights})
    memories[0].before = lambda request: uploads_fail(request) if "-model" in request.path else None
    hosts = [server.address for server in servers[:2]]
    push = Push(
        layout_folder=Path("/nowhere"),
        repositories=tuple(Repository(f"{host}/small") for host in hosts),
        model_repositories=tuple(Repository(f"{host}/small-model") for host in hosts),
    )
    error, made = failed(push, both, desk)
    assert made.model_image is not None
    assert [each.repository.host for each in made.references] == [hosts[1]]
    assert [each.repository.host for each in made.model_image.references] == [hosts[1]]
    assert f"{hosts[0]}/small: not tried, because {hosts[0]}/small-model" in error.message
    assert not any(name == "small" for name, _ in memories[0].manifests)


def test_no_manifest_below_an_index_gets_a_tag(
    tmp_path: Path, desk: Desk, memories: list[MemoryRegistry], servers: list[Server]
) -> None:
    platforms = ("linux/amd64", "linux/arm64")
    image = make_image(tmp_path / "index", {"app.py": b"1"}, platforms=platforms)
    stage(names(servers)[0], tags=(ImageTag(tag=Tag("v1")),)).run(Artifacts(image), desk)
    tagged = {tag: content for (_, tag), (_, content) in memories[0].manifests.items() if ":" not in tag}
    assert {Digest.of(content) for content in tagged.values()} == {image.digest}
    assert set(tagged) == {image.tag, "v1"}


def test_further_tags_name_the_same_image_and_some_of_them_move(
    tmp_path: Path, image: BuiltImage, desk: Desk, memories: list[MemoryRegistry], servers: list[Server]
) -> None:
    tags = (ImageTag(tag=Tag("v1")), ImageTag(tag=Tag("latest"), moves=True))
    name = names(servers)[0]
    (reference,) = stage(name, tags=tags).run(Artifacts(image), desk).references
    assert (reference.tag, reference.tags) == (image.tag, ("v1", "latest"))
    other = make_image(tmp_path / "other", {"app.py": b"2"}).model_copy(update={"tag": Tag("next")})
    stage(name, tags=tags[1:]).run(Artifacts(other), desk)
    stored = {tag: content for (_, tag), (_, content) in memories[0].manifests.items()}
    assert stored["latest"] == stored["next"] != stored["v1"] == stored[image.tag]
    with pytest.raises(TagConflict, match=f"{name}:v1 exists"):
        stage(name, tags=tags).run(Artifacts(other), desk)
    assert stored["latest"] == stored["next"]


def test_the_plan_shows_every_tag_and_what_it_names(
    image: BuiltImage, desk: Desk, servers: list[Server]
) -> None:
    push = replace(
        stage(names(servers)[0], tags=(ImageTag(tag=Tag("latest"), moves=True),)), tag=Tag(image.tag)
    )
    push.run(Artifacts(image), desk)
    tags, check = push.check(desk)
    assert tags.found == f"{image.tag}, latest (moves); manifests get {image.tag}"
    assert f"the tag {image.tag} is taken by {image.digest}" in check.found
    assert f"the tag latest moves from {image.digest}" in check.found
