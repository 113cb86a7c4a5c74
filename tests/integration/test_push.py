"""The push stage against the distribution registry with a password, read back by tools that are not ours."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import RemoteError, TagConflict
from pipeline.model import BuiltImage, Problem, PushedImage, Source, SuiteReport
from pipeline.reference import Repository
from stages.build import Build
from stages.models.file import FolderFiles
from stages.models.model import Model
from stages.oci.authentication import Credentials
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.referrers import Referrers
from stages.oci.transport import Transport
from stages.oci.uploads import Monolithic
from stages.push import Push
from tests.support.engine import Engine
from tests.support.registry import Registry, running_registry, write_docker_config
from tests.support.small_image import COMMIT, make_image

WEIGHTS = hashlib.shake_256(b"weights").digest(3_000_000)
MODEL_PATH = "/models/digits"

pytestmark = pytest.mark.usefixtures("docker_login")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "desk").mkdir()
    desk = Desk(folder=tmp_path / "desk", cache=tmp_path / "cache")
    yield desk
    desk.clear()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(WEIGHTS)
    return folder


@pytest.fixture
def stage(tmp_path: Path, registry: Registry, repository_name: str) -> Push:
    repository = Repository(f"{registry.address}/{repository_name}")
    return Push(repositories=(repository,), layout_folder=tmp_path / "delivered")


def push(stage: Push, image: BuiltImage, desk: Desk) -> PushedImage:
    return stage.run(Artifacts(image), desk)


def said_by(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=280).stdout


def copy(skopeo: str, source: str, folder: Path, registry: Registry | None = None) -> dict[str, bytes]:
    """Copy an image with all its blobs, which checks their digests; return the files by their name."""
    login = [f"--src-creds={registry.username}:{registry.password}"] if registry else []
    said_by(skopeo, "--insecure-policy", "copy", "--src-tls-verify=false", *login, source, f"dir:{folder}")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_pushed_is_what_an_independent_client_reads(
    stage: Push, model: Path, desk: Desk, registry: Registry, skopeo: str
) -> None:
    image = make_image(model.parent / "image", {"app.py": b"1"}, model=model)
    assert all(check.passed for check in stage.check(desk))
    (pushed,) = push(stage, image, desk).references
    files = copy(skopeo, f"docker://{pushed.repository}:{pushed.tag}", model.parent / "copy", registry)
    assert f"sha256:{hashlib.sha256(files['manifest.json']).hexdigest()}" == image.digest == pushed.digest
    blobs = {
        name: len(content) for name, content in files.items() if name not in {"manifest.json", "version"}
    }
    assert blobs == {blob.digest.encoded: blob.size_bytes for blob in pushed.blobs}
    assert image.model_layers[0].descriptor.digest.encoded in blobs


def test_an_index_of_several_platforms_is_pushed_whole(
    stage: Push, model: Path, desk: Desk, registry: Registry, skopeo: str
) -> None:
    platforms = ("linux/amd64", "linux/arm64")
    image = make_image(model.parent / "image", {"app.py": b"1"}, model=model, platforms=platforms)
    (pushed,) = push(stage, image, desk).references
    login = f"--creds={registry.username}:{registry.password}"
    name = f"docker://{pushed.repository}@{pushed.digest}"
    index = json.loads(said_by(skopeo, "inspect", "--raw", "--tls-verify=false", login, name))
    assert [child["digest"] for child in index["manifests"]] == [
        each.manifest.digest for each in image.platforms
    ]
    for child in image.platforms:
        copy(
            skopeo,
            f"docker://{pushed.repository}@{child.manifest.digest}",
            model.parent / child.manifest.digest.short,
            registry,
        )


def test_without_a_registry_the_folder_is_an_image_that_other_tools_read(
    model: Path, desk: Desk, skopeo: str
) -> None:
    image = make_image(model.parent / "image", {"app.py": b"1"}, model=model)
    delivered = push(Push(layout_folder=model.parent / "delivered"), image, desk)
    files = copy(skopeo, f"oci:{delivered.layout}:{image.tag}", model.parent / "copy")
    assert image.model_layers[0].descriptor.digest.encoded in files


def test_an_engine_that_loads_the_folder_gives_the_image_its_name(
    model: Path, desk: Desk, engine: Engine
) -> None:
    if engine.image_store == "classic":  # it reads no image layout, only its own form
        return
    image = make_image(model.parent / "image", {"app.py": b"1"}, model=model, tag=uuid.uuid4().hex)
    delivered = push(Push(layout_folder=model.parent / "delivered"), image, desk)
    archive = model.parent / "image.tar"
    said_by("tar", "--create", f"--file={archive}", f"--directory={delivered.layout}", ".")
    engine.docker("load", "--input", str(archive))
    try:
        assert engine.docker("image", "ls", "--format", "{{.Repository}}", f"small:{image.tag}") == "small"
    finally:
        engine.docker("image", "rm", f"small:{image.tag}")


def test_the_same_image_again_sends_nothing(stage: Push, model: Path, desk: Desk) -> None:
    image = make_image(model.parent / "image", {"app.py": b"1"}, model=model)
    (first,) = push(stage, image, desk).references
    (second,) = push(stage, image, desk).references
    assert (first.tag_existed, second.tag_existed) == (False, True)
    assert {blob.how for blob in second.blobs} == {"exists"}
    assert second.bytes_sent == 0


def test_a_change_of_code_sends_kilobytes(stage: Push, model: Path, desk: Desk) -> None:
    push(stage, make_image(model.parent / "first", {"app.py": b"1"}, model=model, tag="one"), desk)
    image = make_image(model.parent / "second", {"app.py": b"2"}, model=model, tag="two")
    (pushed,) = push(stage, image, desk).references
    weights = image.model_layers[0].descriptor
    assert {blob.digest: blob.how for blob in pushed.blobs}[weights.digest] == "exists"
    assert 0 < pushed.bytes_sent < 20_000 < pushed.bytes_saved


def test_a_second_repository_of_the_registry_mounts_the_blobs(
    stage: Push, model: Path, desk: Desk, registry: Registry, skopeo: str
) -> None:
    image = make_image(model.parent / "image", {"app.py": b"1"}, model=model)
    (repository,) = stage.repositories
    both = Push(repositories=(repository, repository.child("copy")), layout_folder=stage.layout_folder)
    _, second = push(both, image, desk).references
    assert {blob.how for blob in second.blobs} == {"mounted"}
    copy(skopeo, f"docker://{second.repository}:{second.tag}", model.parent / "copy", registry)


def test_a_tag_is_not_moved_to_another_digest(
    stage: Push, model: Path, desk: Desk, registry: Registry
) -> None:
    first = make_image(model.parent / "first", {"app.py": b"1"}, model=model)
    second = make_image(model.parent / "second", {"app.py": b"2"}, model=model)
    push(stage, first, desk)
    with pytest.raises(TagConflict) as caught:
        push(stage, second, desk)
    assert caught.value.exit_code == 7
    assert first.digest in caught.value.message
    assert second.digest in caught.value.message
    (repository,) = stage.repositories
    with registry.session() as session:
        there = session.head(
            registry.url(f"{repository.path}/manifests/{COMMIT}"),
            headers={"Accept": first.media_type},
            timeout=10,
        )
    assert there.headers["Docker-Content-Digest"] == first.digest


def test_a_wrong_password_is_found_by_the_plan_and_by_the_push(
    stage: Push, model: Path, desk: Desk, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_USERNAME", registry.username)
    monkeypatch.setenv("REGISTRY_PASSWORD", "not the password")
    (check,) = stage.check(desk)
    assert check.problem is Problem.REMOTE
    assert f"refused the password of user {registry.username!r}" in check.found
    assert "REGISTRY_USERNAME and REGISTRY_PASSWORD in the environment" in check.advice
    with pytest.raises(RemoteError) as caught:
        push(stage, make_image(model.parent / "image", {"app.py": b"1"}, model=model), desk)
    assert caught.value.message == check.found
    assert "not the password" not in repr(check) + caught.value.message + caught.value.advice


def test_nobody_is_told_to_log_in(
    stage: Push, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "nothing"))
    (check,) = stage.check(desk)
    assert check.problem is Problem.REMOTE
    assert "docker login" in check.advice


def test_a_credential_helper_logs_in(
    stage: Push, desk: Desk, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = json.dumps({"Username": registry.username, "Secret": registry.password})
    helper = tmp_path / "docker-credential-vault"
    helper.write_text(f"#!/bin/sh\nread -r host\n[ \"$host\" = {registry.address} ] && echo '{secret}'\n")
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "vault"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (check,) = stage.check(desk)
    assert check.passed, check
    assert "docker-credential-vault" in check.found
    assert registry.password not in desk.redact(registry.password)


def test_an_engine_pulls_and_runs_it_with_the_weights_inside(
    stage: Push, model: Path, desk: Desk, engine: Engine, base_image: str
) -> None:
    context = model.parent / "context"
    context.mkdir()
    (context / "app.py").write_text(
        f"import hashlib\nprint(hashlib.sha256(open('{MODEL_PATH}/weights.bin', 'rb').read()).hexdigest())\n"
    )
    (context / "Dockerfile").write_text(
        f'FROM {base_image}\nCOPY app.py /app.py\nUSER 65534\nCMD ["python", "/app.py"]\n'
    )
    build = Build(
        image="small",
        context=context,
        dockerfile=context / "Dockerfile",
        model=Model(files=FolderFiles(folder=model), path=MODEL_PATH),
    )
    source = Source(root=context, commit=COMMIT, committed_at=datetime(2026, 1, 1, tzinfo=UTC))
    image = build.run(Artifacts(source, SuiteReport(command=("true",), exit_code=0, duration_s=0)), desk)
    (pushed,) = push(stage, image, desk).references
    reference = f"{pushed.repository}@{pushed.digest}"
    engine.docker("pull", "--quiet", reference)
    try:
        printed = engine.docker("run", "--rm", "--network=none", reference)
    finally:
        engine.docker("rmi", "--force", reference)
    assert printed.strip() == hashlib.sha256(WEIGHTS).hexdigest()


def test_what_points_at_the_image_is_listed_also_where_the_registry_keeps_no_lists(
    stage: Push, model: Path, desk: Desk, registry: Registry
) -> None:
    image = make_image(model.parent / "image", {"app.py": b"1"}, model=model)
    (pushed,) = push(stage, image, desk).references
    user = Credentials(username=registry.username, secret=registry.password, origin="a test")
    endpoint = Endpoint(host=registry.address, api_host=registry.address)
    with closing(Transport(endpoint, lambda: user, lambda _: None)) as transport:
        client = RepositoryClient(repository=pushed.repository, transport=transport, uploads=Monolithic())
        subject = client.read_manifest(pushed.digest)
        assert subject is not None
        referrers = Referrers(client=client)
        report = referrers.push(subject[0], "text/x-report", b"all is well", "text/plain")
        assert referrers.of(pushed.digest) == (report,)
    with registry.session() as session:
        tag = pushed.digest.replace(":", "-")
        index = session.get(
            registry.url(f"{pushed.repository.path}/manifests/{tag}"),
            headers={"Accept": "application/vnd.oci.image.index.v1+json"},
            timeout=10,
        ).json()
    assert [each["digest"] for each in index["manifests"]] == [report.descriptor.digest]


MEASURE = """
import re, sys
from pathlib import Path
from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.reference import Repository
from stages.push import Push
from tests.support.small_image import make_image

folder, repository = Path(sys.argv[1]), Repository(sys.argv[2])
desk = Desk(folder=folder, cache=folder)
stage = Push(repositories=(repository,), layout_folder=folder / "delivered")
for name in ("small", "big"):
    image = make_image(folder / f"{name}-image", {}, model=folder / name, tag=name)
    (pushed,) = stage.run(Artifacts(image), desk).references
    # getrusage would tell of the process that started this one, too
    peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    print(pushed.bytes_sent, int(peak[1]) * 1024)
desk.clear()
"""


def test_memory_does_not_grow_with_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three large files travel at a time."""
    large, files = 256 << 20, 3
    for name, size_bytes in (("small", 1 << 20), ("big", large)):
        (tmp_path / name).mkdir()
        for number in range(files):
            with (tmp_path / name / f"{number}.bin").open("wb") as file:
                file.truncate(size_bytes)  # sparse: takes no disk
    with running_registry(tmp_path / "registry") as own:
        monkeypatch.setenv("DOCKER_CONFIG", str(write_docker_config(tmp_path / "docker", own)))
        command = (sys.executable, "-c", MEASURE, str(tmp_path), f"{own.address}/small")
        small, big = (tuple(map(int, line.split())) for line in said_by(*command).splitlines())
    shutil.rmtree(tmp_path / "registry")
    assert big[0] > files * large
    assert big[1] < 150 << 20
    assert big[1] - small[1] < 24 << 20
