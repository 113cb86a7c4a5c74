"""Two registries with passwords at once, one of them behind a line that breaks."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import RemoteError, TagConflict
from pipeline.model import BuiltImage, ImageTag, ManifestUpdate, PushedImage
from pipeline.record import Status
from pipeline.reference import Digest, Repository, Tag
from stages.push import Push
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.faults import Fault, nothing
from tests.support.git_server import Repository as ServedRepository
from tests.support.project import TINY, Project
from tests.support.pushes import always
from tests.support.registry import Registry, running_registry, write_docker_config
from tests.support.small_image import make_image

WEIGHTS = hashlib.shake_256(b"weights for two").digest(3_000_000)
CreateRepository = Callable[[Path | None], ServedRepository]
PLATFORMS = ("linux/amd64", "linux/arm64")


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("near")) as registry:
        yield registry


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("far")) as registry:
        yield registry


@pytest.fixture
def line(far: Registry) -> Iterator[FaultProxy]:
    """The line to the far registry."""
    with fault_proxy(far.port) as proxy:
        yield proxy


@pytest.fixture
def stage(
    near: Registry, far: Registry, line: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Push:
    """The push to both, with a name in each that no other test uses."""
    reached = replace(far, port=line.port)
    monkeypatch.setenv("DOCKER_CONFIG", str(write_docker_config(tmp_path / "docker", near, reached)))
    repositories = (Repository(f"{each.address}/team/{tmp_path.name}") for each in (near, reached))
    return Push(repositories=tuple(repositories), layout_folder=tmp_path / "delivered")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "desk").mkdir()
    desk = Desk(folder=tmp_path / "desk", cache=tmp_path / "cache")
    yield desk
    desk.clear()


def an_image(folder: Path, content: bytes = b"1") -> BuiltImage:
    model = folder / "model"
    model.mkdir(exist_ok=True)
    (model / "weights.bin").write_bytes(WEIGHTS)
    name = f"image-{Digest.of(content).short}"
    return make_image(folder / name, {"app.py": content}, model=model, platforms=PLATFORMS)


def tagged(registry: Registry, repository: Repository) -> set[str]:
    with registry.session() as session:
        answer = session.get(registry.url(f"{repository.path}/tags/list"), timeout=10).json()
    return set(answer["tags"])


def test_a_line_that_breaks_in_the_middle_costs_one_registry_alone(
    tmp_path: Path, stage: Push, desk: Desk, near: Registry, line: FaultProxy
) -> None:
    image = an_image(tmp_path)
    line.plan = always(lambda seen: seen.length >= len(WEIGHTS), Fault("cut", after_bytes=1_000_000))
    with pytest.raises(RemoteError, match="1 of 2 pushes failed") as caught:
        stage.run(Artifacts(image), desk)
    made = caught.value.made
    assert isinstance(made, PushedImage)
    assert [each.repository for each in made.references] == [stage.repositories[0]]
    assert [each.repository for each in made.failures] == [stage.repositories[1]]
    assert tagged(near, stage.repositories[0]) == {image.tag}
    assert not line.of("PUT", "/manifests/")  # nothing names what is not there

    line.plan = nothing
    first, second = stage.run(Artifacts(image), desk).references
    assert (first.tag_existed, first.bytes_sent) == (True, 0)
    assert second.digest == image.digest
    assert {blob.how for blob in second.blobs} == {"exists", "uploaded"}  # only what was missing
    assert second.evidence is not None
    assert second.evidence.manifests_compared == 3


@pytest.fixture
def two(
    project: Project, far: Registry, line: FaultProxy, tmp_path: Path, create_repository: CreateRepository
) -> Callable[[str], Project]:
    """Make a project that delivers to two registries, of which the far one takes no manifest."""

    def make(named: str) -> Project:
        reached = f"localhost:{line.port}"
        for registry, port in ((project.registry, project.registry.port), (far, line.port)):
            project.environment[f"REGISTRY_USERNAME_LOCALHOST_{port}"] = registry.username
            project.environment[f"REGISTRY_PASSWORD_LOCALHOST_{port}"] = registry.password
        registries = [project.registry.address, reached]
        first = reached if named == "far" else project.registry.address
        registries.sort(key=lambda each: each != first)
        content = tmp_path / "names"
        shutil.copytree(TINY / "gitops", content)
        overlay = content / "apps" / "tiny" / "kustomization.yaml"
        overlay.write_text(overlay.read_text().replace("IMAGE", f"{first}/{project.name}/tiny"))
        gitops = create_repository(content)
        project.set(
            registries=[f"{each}/{project.name}" for each in registries],
            update__repository=gitops.url,
            skip={"scan": "only the registries matter here", "benchmark": "so they do"},
        )
        line.plan = always(
            lambda seen: seen.method == "PUT" and "/manifests/" in seen.path, Fault("answer", status=403)
        )
        return replace(project, gitops=gitops)

    return make


def test_a_registry_that_no_manifest_names_holds_no_rollout_back(
    two: Callable[[str], Project], line: FaultProxy
) -> None:
    project = two("near")
    done = project.pipeline("run")
    assert done.returncode == 5, done.stdout
    record = project.record()
    assert [stage.status for stage in record.stages[-2:]] == [Status.FAILED, Status.PASSED]
    made = Artifacts(*record.made())
    assert [each.repository.host for each in made[PushedImage].references] == [project.registry.address]
    assert [each.repository.host for each in made[PushedImage].failures] == [f"localhost:{line.port}"]
    assert made[ManifestUpdate].commit == project.gitops.head()
    assert "1 of 2 pushes failed" in done.stdout
    assert "No manifest was updated" not in done.stdout

    line.plan = nothing
    project.passes("run")
    again = Artifacts(*project.record().made())
    assert (again[ManifestUpdate].status, len(again[PushedImage].references)) == ("unchanged", 2)


def test_no_manifest_is_updated_whose_registry_has_no_image(
    two: Callable[[str], Project], line: FaultProxy
) -> None:
    project = two("far")
    before = project.gitops.head()
    done = project.pipeline("run")
    assert done.returncode == 5, done.stdout
    assert [stage.status for stage in project.record().stages[-2:]] == [Status.FAILED, Status.PLANNED]
    missing = f"localhost:{line.port}/{project.name}/tiny"
    assert f"No manifest was updated: apps/tiny gets {missing}, which did not get the image." in done.stdout
    assert project.gitops.head() == before


def test_every_registry_gets_every_tag_on_the_index_alone(
    tmp_path: Path, stage: Push, desk: Desk, near: Registry, far: Registry
) -> None:
    tags = (ImageTag(tag=Tag("v1")), ImageTag(tag=Tag("main"), moves=True))
    first, second = an_image(tmp_path), an_image(tmp_path, b"2")
    second = second.model_copy(update={"tag": Tag("second")})
    every = replace(stage, further_tags=tags)
    every.run(Artifacts(first), desk)
    with pytest.raises(TagConflict, match="2 of 2 pushes failed"):
        every.run(Artifacts(second), desk)
    replace(stage, further_tags=tags[1:]).run(Artifacts(second), desk)
    for registry, repository in zip((near, far), stage.repositories, strict=True):
        assert tagged(registry, repository) == {first.tag, "v1", "main", "second"}
        named = {tag: digest(registry, repository, tag) for tag in (first.tag, "v1", "main", "second")}
        assert named == {first.tag: first.digest, "v1": first.digest} | dict.fromkeys(
            ("main", "second"), second.digest
        )


def digest(registry: Registry, repository: Repository, tag: str) -> str:
    accept = {"Accept": "application/vnd.oci.image.index.v1+json"}
    with registry.session() as session:
        answer = session.get(registry.url(f"{repository.path}/manifests/{tag}"), headers=accept, timeout=10)
    return f"sha256:{hashlib.sha256(answer.content).hexdigest()}"


def test_the_doctor_cancels_what_it_uploads_to_a_real_registry(
    stage: Push, desk: Desk, line: FaultProxy
) -> None:
    checks = stage.diagnose(desk, write=True)
    assert all(check.found.endswith("took 1 kB, and the upload was cancelled") for check in checks), checks
    uploads = [(seen.method, seen.status) for seen in line.seen if "/blobs/uploads/" in seen.path]
    assert uploads == [("POST", 202), ("PATCH", 202), ("DELETE", 204)]
