from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.interface import Stage
from pipeline.model import BuiltImage, Problem
from pipeline.reference import Repository
from stages.oci.layout import Layout
from stages.oci.model_image import OwnImage, assemble_model_image, scratch
from stages.push import Push
from stages.registries import recognise
from tests.support.loopback import MemoryRegistry, Received, Reply, Server, refused, serving
from tests.support.registry import free_port
from tests.support.small_image import make_image

MADE_BY_THE_PUSH = "the repository is missing: the push makes it"
PASSWORD = "correct horse"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "desk").mkdir()
    desk = Desk(folder=tmp_path / "desk", cache=tmp_path)
    yield desk
    desk.clear()


@pytest.fixture
def said(desk: Desk) -> list[str]:
    lines: list[str] = []
    desk.say = lines.append
    return lines


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REGISTRY_USERNAME", "REGISTRY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    (tmp_path / "docker").mkdir()
    return tmp_path / "docker" / "config.json"


@pytest.fixture
def image(tmp_path: Path) -> BuiltImage:
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.bin").write_bytes(bytes(range(256)) * 4096)
    return make_image(tmp_path / "image", {"app.py": b"1"}, model=model)


@pytest.fixture
def memory() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def server(memory: MemoryRegistry) -> Iterator[Server]:
    with serving(memory) as running:
        yield running


def push_to(tmp_path: Path, *names: str, mount_from: tuple[Repository, ...] = ()) -> Push:
    repositories = tuple(Repository(name) for name in names)
    return Push(repositories=repositories, layout_folder=tmp_path / "out", mount_from=mount_from)


def log_in(path: Path, host: str, password: str = PASSWORD) -> None:
    encoded = base64.b64encode(f"ci:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": encoded}}}))


def guard(request: Received) -> Reply | None:
    """Let in who knows the password."""
    wanted = f"Basic {base64.b64encode(f'ci:{PASSWORD}'.encode()).decode()}"
    if request.headers.get("Authorization") == wanted:
        return None
    return refused(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="x"')


def test_it_is_a_stage(tmp_path: Path) -> None:
    stage: Stage = push_to(tmp_path)
    assert (stage.name, stage.identity(Artifacts())) == ("push", None)
    assert [each.__name__ for each in stage.needs] == ["BuiltImage", "ScanReport", "BenchmarkReport"]


def test_without_a_registry_the_image_is_delivered_as_a_folder(
    tmp_path: Path, image: BuiltImage, desk: Desk
) -> None:
    stage = push_to(tmp_path)
    (check,) = stage.check(desk)
    pushed = stage.run(Artifacts(image), desk)
    assert check.passed
    assert (pushed.digest, pushed.references, pushed.layout) == (image.digest, (), tmp_path / "out")
    assert Layout.open(tmp_path / "out").has(image.model_layers[0].descriptor.digest)


def test_all_repositories_get_the_image_and_a_registry_gets_each_blob_once(
    tmp_path: Path, image: BuiltImage, desk: Desk, server: Server, said: list[str]
) -> None:
    names = (f"{server.address}/a/small", f"{server.address}/b/small")
    pushed = push_to(tmp_path, *names).run(Artifacts(image), desk)
    assert [str(each.repository) for each in pushed.references] == list(names)
    assert {each.digest for each in pushed.references} == {image.digest}
    assert [{blob.how for blob in each.blobs} for each in pushed.references] == [{"uploaded"}, {"mounted"}]
    assert [line for line in said if f"{names[1]}:{image.tag}@{image.digest}" in line]


def test_blobs_are_mounted_from_every_repository_that_may_hold_them(
    tmp_path: Path, image: BuiltImage, desk: Desk, server: Server, said: list[str]
) -> None:
    before, sibling, new = (f"{server.address}/{name}/small" for name in ("before", "sibling", "new"))
    push_to(tmp_path, before).run(Artifacts(image), desk)
    moved = push_to(tmp_path, new, mount_from=(Repository(before),)).run(Artifacts(image), desk)
    later = push_to(tmp_path, sibling, new).run(Artifacts(image), desk)
    for pushed in (moved.references[0], later.references[0]):
        assert {blob.how for blob in pushed.blobs} == {"mounted"}
        assert pushed.bytes_sent == 0
    assert {blob.how for blob in later.references[1].blobs} == {"exists"}
    assert [line for line in said if f"{new}:{image.tag}" in line and "3 mounted; 0 B sent" in line]


@pytest.fixture
def separate(tmp_path: Path, image: BuiltImage) -> BuiltImage:
    """An image whose weights are an image of their own."""
    application = make_image(tmp_path / "application", {"app.py": b"1"})
    base = scratch(Layout.create(tmp_path / "scratch"), ["linux/amd64"])
    own = OwnImage(name="small-model", mounted_at="/mnt/models")
    weights = assemble_model_image(own, image.model_layers, base, Layout.create(application.layout))
    return application.model_copy(update={"model_image": weights})


def push_both(tmp_path: Path, *hosts: str) -> Push:
    return Push(
        layout_folder=tmp_path / "out",
        repositories=tuple(Repository(f"{host}/small") for host in hosts),
        model_repositories=tuple(Repository(f"{host}/small-model") for host in hosts),
    )


def test_the_weights_own_image_goes_to_its_own_repositories(
    tmp_path: Path, separate: BuiltImage, desk: Desk, server: Server, memory: MemoryRegistry
) -> None:
    stage = push_both(tmp_path, f"{server.address}/a", f"{server.address}/b")
    pushed = stage.run(Artifacts(separate), desk)
    weights = pushed.model_image
    assert weights is not None
    assert separate.model_image is not None
    assert [str(each.repository) for each in pushed.references] == list(stage.repositories)
    assert [str(each.repository) for each in weights.references] == list(stage.model_repositories)
    assert {each.digest for each in weights.references} == {separate.model_image.digest}
    layers = {layer.descriptor.digest for layer in separate.weights}
    assert all(("a/small-model", digest) in memory.blobs for digest in layers)
    assert not any(("a/small", digest) in memory.blobs for digest in layers)
    again = stage.run(Artifacts(separate), desk)
    assert again.model_image is not None
    assert [(each.tag_existed, each.bytes_sent) for each in again.model_image.references] == [(True, 0)] * 2
    assert len(stage.check(desk)) == 4


def test_both_images_go_into_one_folder(tmp_path: Path, separate: BuiltImage, desk: Desk) -> None:
    pushed = push_both(tmp_path).run(Artifacts(separate), desk)
    assert pushed.model_image is not None
    roots = {root.reference: root.descriptor.digest for root in Layout.open(tmp_path / "out").roots()}
    assert roots == {pushed.tag: pushed.digest, pushed.model_image.tag: pushed.model_image.digest}
    assert all(Layout(tmp_path / "out").has(layer.descriptor.digest) for layer in separate.weights)


def test_a_dry_run_names_both_images(
    tmp_path: Path, separate: BuiltImage, desk: Desk, server: Server, said: list[str]
) -> None:
    desk.dry_run = True
    pushed = push_both(tmp_path, f"{server.address}/a").run(Artifacts(separate), desk)
    assert (pushed.references, server.received) == ((), [])
    assert [line.split("@")[0].rpartition("/")[2].partition(":")[0] for line in said] == [
        "small-model",
        "small",
    ]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Reply(200, {}, b'{"name": "old/small", "tags": ["1"]}'), "there"),
        (refused(404, "NAME_UNKNOWN"), "nothing is there; is the name right?"),
        (refused(403, "DENIED"), "cannot list the tags in old/small: DENIED"),
    ],
)
def test_the_plan_says_whether_there_is_anything_to_mount_from(
    tmp_path: Path, desk: Desk, memory: MemoryRegistry, answer: Reply, found: str
) -> None:
    memory.before = lambda request: answer if request.path == "/v2/old/small/tags/list" else None
    with serving(memory) as server:
        old = Repository(f"{server.address}/old/small")
        _, check = push_to(tmp_path, f"{server.address}/new/small", mount_from=(old,)).check(desk)
    assert (check.subject, check.passed) == (f"mount from {old}", True)
    assert check.found.endswith(found)


def test_a_dry_run_sends_nothing_and_says_what_it_would(
    tmp_path: Path, image: BuiltImage, desk: Desk, server: Server, said: list[str]
) -> None:
    desk.dry_run = True
    pushed = push_to(tmp_path, f"{server.address}/a/small").run(Artifacts(image), desk)
    assert (pushed.references, pushed.layout, server.received) == ((), None, [])
    assert f"would push {server.address}/a/small:{image.tag}@{image.digest}" in said[0]


def test_the_check_logs_in_with_the_right_to_push(
    tmp_path: Path, desk: Desk, server: Server, memory: MemoryRegistry, docker_config: Path
) -> None:
    memory.before = guard
    log_in(docker_config, server.address)
    (check,) = push_to(tmp_path, f"{server.address}/a/small").check(desk)
    assert check.passed, check
    assert check.found == f"logged in as ci (from {docker_config}); {MADE_BY_THE_PUSH}"
    assert desk.redact(PASSWORD) == "***"


def test_the_check_finds_a_wrong_password_and_does_not_show_it(
    tmp_path: Path, desk: Desk, server: Server, memory: MemoryRegistry, docker_config: Path
) -> None:
    memory.before = guard
    log_in(docker_config, server.address, "wrong password")
    (check,) = push_to(tmp_path, f"{server.address}/a/small").check(desk)
    assert check.problem is Problem.REMOTE
    assert check.found == f"{server.address}: the registry refused the password of user 'ci'"
    assert f"It came from {docker_config}. Run `docker login {server.address}`" in check.advice
    assert "wrong password" not in repr(check)


def test_the_check_finds_that_nobody_is_logged_in(
    tmp_path: Path, desk: Desk, server: Server, memory: MemoryRegistry
) -> None:
    memory.before = guard
    (check,) = push_to(tmp_path, f"{server.address}/a/small").check(desk)
    assert check.problem is Problem.REMOTE
    assert "asks for a login and there is none" in check.found


@pytest.mark.parametrize(("actions", "passed"), [(["pull", "push"], True), (["pull"], False)])
def test_the_check_finds_a_user_who_may_only_pull(
    desk: Desk, docker_config: Path, actions: list[str], passed: bool
) -> None:
    access = [{"type": "repository", "name": "a/small", "actions": actions}]
    payload = base64.urlsafe_b64encode(json.dumps({"access": access}).encode()).decode().rstrip("=")

    def answer(request: Received) -> Reply | None:
        if request.path == "/token":
            return Reply(200, {}, json.dumps({"token": f"e30.{payload}.x"}).encode())
        realm = f'Bearer realm="http://{request.headers["Host"]}/token",service="x"'
        return refused(401, "UNAUTHORIZED", WWW_Authenticate=realm)

    with serving(answer) as server:
        (anonymous,) = push_to(desk.folder, f"{server.address}/a/small").check(desk)
        log_in(docker_config, server.address)
        (check,) = push_to(desk.folder, f"{server.address}/a/small").check(desk)
    assert anonymous.passed is check.passed is passed
    assert passed or "user 'ci' may not push to a/small" in check.found
    assert passed or "asks for a login and there is none" in anonymous.found


def test_the_check_says_when_there_is_no_login_to_ask_for(tmp_path: Path, desk: Desk, server: Server) -> None:
    (check,) = push_to(tmp_path, f"{server.address}/a/small").check(desk)
    assert (check.passed, check.found) == (True, f"lets us in without a login; {MADE_BY_THE_PUSH}")


def test_the_check_finds_a_registry_that_is_not_there(tmp_path: Path, desk: Desk) -> None:
    (check,) = push_to(tmp_path, f"127.0.0.1:{free_port()}/a/small").check(desk)
    assert check.problem is Problem.REMOTE
    assert "Connection refused" in check.found


def test_the_check_finds_half_a_login(
    tmp_path: Path, desk: Desk, server: Server, memory: MemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.before = guard
    monkeypatch.setenv("REGISTRY_USERNAME", "ci")
    (check,) = push_to(tmp_path, f"{server.address}/a/small").check(desk)
    assert check.problem is Problem.CONFIGURATION
    assert "REGISTRY_PASSWORD is not" in check.found


def test_the_check_finds_a_missing_helper(
    tmp_path: Path, desk: Desk, server: Server, memory: MemoryRegistry, docker_config: Path
) -> None:
    memory.before = guard
    docker_config.write_text(json.dumps({"credHelpers": {server.address: "absent"}}))
    (check,) = push_to(tmp_path, f"{server.address}/a/small").check(desk)
    assert check.problem is Problem.TOOL
    assert "docker-credential-absent" in check.found


def test_the_check_says_what_the_tag_names(
    tmp_path: Path, image: BuiltImage, desk: Desk, server: Server
) -> None:
    stage = replace(push_to(tmp_path, f"{server.address}/a/small"), tag=image.tag)
    (before,) = stage.check(desk)
    stage.run(Artifacts(image), desk)
    (after,) = stage.check(desk)
    assert before.found == f"lets us in without a login; {MADE_BY_THE_PUSH}"
    assert after.passed
    assert after.found.endswith(f"the tag {image.tag} is taken by {image.digest}")


def test_what_the_registry_holds_after_the_push_is_recorded(
    tmp_path: Path, image: BuiltImage, desk: Desk, server: Server
) -> None:
    (reference,) = push_to(tmp_path, f"{server.address}/a/small").run(Artifacts(image), desk).references
    assert reference.evidence is not None
    assert (reference.evidence.manifests_compared, reference.evidence.blobs_found) == (1, 3)


def test_docker_hub_answers_elsewhere() -> None:
    assert recognise("docker.io").endpoint.api_host == "registry-1.docker.io"
    assert recognise("ghcr.io").endpoint.api_host == "ghcr.io"
    assert recognise("ghcr.io").endpoint.schemes == ("https",)
    assert recognise("registry.local", insecure=("registry.local",)).endpoint.schemes == ("http", "https")
