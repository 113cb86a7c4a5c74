"""The build stage on real engines: with the containerd image store, and with the classic one."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.disk import forecast
from pipeline.errors import ConfigurationError, DiskFull, StageFailed, ToolMissing
from pipeline.model import BaseImage, BuiltImage, Problem, Source, SuiteReport
from pipeline.reference import Digest, Tag
from stages.build import Build
from stages.buildkit.disk_needs import loading_need
from stages.buildkit.secrets import BuildSecret
from stages.models.file import FolderFiles
from stages.models.model import Model
from stages.oci.layer_compression import Compression
from stages.oci.layout import Layout
from tests.support.engine import Engine
from tests.support.unprivileged import unprivileged
from tests.support.weights import content

COMMIT = "0123456789abcdef0123456789abcdef01234567"
COMMITTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET = "correct-horse-battery-staple"
WEIGHTS = b"weights" * 1000
MODEL_PATH = "/models/digits"

COPY_ONLY = "FROM scratch\nCOPY app.py /app.py\nUSER 1000\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "model").mkdir(parents=True)
    (folder / "model/weights.bin").write_bytes(WEIGHTS)
    (folder / "model/labels.txt").write_text("zero\none\n")
    (folder / "app.py").write_text("print('hello')\n")
    os.utime(folder / "app.py", (0, 0))
    return folder


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def desk(tmp_path: Path, said: list[str]) -> Iterator[Desk]:
    folder = tmp_path / "desk"
    folder.mkdir()
    lent = Desk(folder=folder, cache=tmp_path / "cache", say=said.append)
    yield lent
    lent.clear()


def build(project: Path, dockerfile: str) -> Build:
    (project / "Dockerfile").write_text(dockerfile)
    return Build(
        image="digits",
        context=project,
        dockerfile=project / "Dockerfile",
        model=Model(files=FolderFiles(folder=project / "model"), path=MODEL_PATH),
    )


def artifacts(root: Path) -> Artifacts:
    report = SuiteReport(command=("true",), exit_code=0, duration_s=0.1)
    return Artifacts(Source(root=root, commit=COMMIT, committed_at=COMMITTED), report)


def run(stage: Build, desk: Desk) -> BuiltImage:
    return stage.run(artifacts(stage.context), desk)


def everything(folder: Path) -> Iterator[bytes]:
    """Yield what every file below a folder says, compressed layers unpacked too."""
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            yield content
            if content.startswith(b"\x1f\x8b"):
                yield gzip.decompress(content)


def load(image: BuiltImage, engine: Engine, tmp_path: Path) -> str:
    """Give the whole image, model layers included, to an engine; return a name to run it by."""
    name = f"pipeline-test-{image.digest.short}:latest"
    archive = tmp_path / "image.tar"
    layout = Layout(image.layout)
    with tarfile.open(archive, "w") as tar:
        index = json.loads((layout.path / "index.json").read_bytes())
        index["manifests"][0]["annotations"] |= {"io.containerd.image.name": f"docker.io/library/{name}"}
        (config,) = (one.config for one in image.platforms)
        layers = [str(entry["digest"]) for entry in layout.read_json(image.digest)["layers"]]
        # what an engine without the containerd store reads in the place of the index
        legacy = {
            "Config": f"blobs/sha256/{config.digest.encoded}",
            "RepoTags": [name],
            "Layers": [f"blobs/sha256/{Digest(layer).encoded}" for layer in layers],
        }
        _add(tar, "oci-layout", (layout.path / "oci-layout").read_bytes())
        _add(tar, "index.json", json.dumps(index).encode())
        _add(tar, "manifest.json", json.dumps([legacy]).encode())
        for blob in (layout.path / "blobs/sha256").iterdir():
            tar.add(blob, f"blobs/sha256/{blob.name}")
        for layer in image.model_layers:
            _add(tar, f"blobs/sha256/{layer.descriptor.digest.encoded}", content(layer))
    engine.docker("load", "--input", str(archive))
    return name


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


CHECKS = f"""\
import os, sys
assert os.getuid() == 1000
assert open("{MODEL_PATH}/weights.bin", "rb").read() == b"weights" * 1000
assert sorted(os.listdir("{MODEL_PATH}")) == ["labels.txt", "weights.bin"]
assert not os.path.exists("/app/model"), "the weights are in the application layers too"
print(oct(os.stat("{MODEL_PATH}/weights.bin").st_mode), open("/made").read().strip())
"""


def test_an_engine_runs_what_was_built(
    project: Path, desk: Desk, any_engine: Engine, tmp_path: Path, said: list[str]
) -> None:
    (project / "app.py").write_text(CHECKS)
    stage = build(
        project,
        "ARG TAG\nFROM python:$TAG\nARG GREETING\nRUN echo $GREETING > /made\nCOPY . /app\nUSER 1000\n",
    )
    made = run(replace(stage, arguments={"TAG": "3.11-slim", "GREETING": "made"}), desk)

    assert made.builder.name == f"buildkit (docker driver, {any_engine.image_store} store)"
    assert made.builder.version == any_engine.version
    assert made.base is not None
    assert made.base.name == "python:3.11-slim"
    assert made.tag == COMMIT
    assert [layer.files[1].size_bytes for layer in made.model_layers] == [len(WEIGHTS)]
    assert any("RUN echo" in line for line in said)
    assert "RUN echo" in (desk.folder / "build.log").read_text()
    desk.clear()
    assert "pipeline-build" not in any_engine.docker("image", "ls")

    name = load(made, any_engine, tmp_path)
    try:
        answer = any_engine.docker("run", "--rm", "--network", "none", name, "python3", "/app/app.py")
        labels = json.loads(any_engine.docker("inspect", "--format", "{{json .Config.Labels}}", name))
    finally:
        any_engine.docker("image", "rm", name)
    assert answer == "0o100644 made"
    assert labels["org.opencontainers.image.revision"] == COMMIT
    assert labels["org.opencontainers.image.created"] == "2026-01-02T03:04:05Z"


def test_the_digest_of_the_base_is_that_of_the_engine(
    project: Path, desk: Desk, base_image: str, engine: Engine
) -> None:
    stage = build(project, f"FROM {base_image} AS base\nFROM base\nCOPY app.py /\n")
    made = run(stage, desk)
    known = engine.docker("image", "inspect", "--format", '{{join .RepoDigests " "}}', base_image)
    assert made.base is not None
    assert made.base.digest is not None
    assert str(made.base.digest) in known
    assert made.annotations["org.opencontainers.image.base.digest"] == made.base.digest


@pytest.mark.usefixtures("engine")
def test_scratch_is_a_base_without_a_digest(project: Path, desk: Desk) -> None:
    made = run(build(project, COPY_ONLY), desk)
    assert made.base == BaseImage(name="scratch")
    assert not any("image.base" in name for name in made.annotations)


def test_the_same_commit_gives_the_same_digest(project: Path, desk: Desk, any_engine: Engine) -> None:
    stage = replace(build(project, COPY_ONLY), cache=False)
    first = run(stage, desk)
    (project / "model/weights.bin").touch()
    second = run(stage, desk)
    assert first == second
    (project / "app.py").write_text("print('goodbye')\n")
    assert run(stage, desk).digest != first.digest


def test_steps_that_run_at_another_time_give_the_same_digest(
    project: Path, desk: Desk, base_image: str, any_engine: Engine
) -> None:
    stage = build(project, f"FROM {base_image}\nRUN mkdir /made && echo made > /made/file\nCOPY app.py /\n")
    (project / "app.py").touch()  # a checkout is younger than its commit
    first = run(replace(stage, cache=False), desk)
    time.sleep(1.1)  # the file's time in seconds is another one
    (project / "app.py").touch()
    second = run(replace(stage, cache=False), desk)
    assert first == second


def layer_digests(image: BuiltImage) -> list[Digest]:
    return [layer.digest for layer in image.platforms[0].application_layers]


def test_another_commit_moves_no_layer_that_did_not_change(
    project: Path, desk: Desk, base_image: str, engine: Engine
) -> None:
    dockerfile = f"FROM {base_image}\nWORKDIR /app\nRUN date +%N > /made\nCOPY app.py .\n"
    stage = build(project, dockerfile)
    first = run(stage, desk)
    (project / "app.py").write_text("print('goodbye')\n")
    later = Source(root=project, commit=COMMIT[::-1], committed_at=datetime(2026, 2, 3, tzinfo=UTC))
    second = stage.run(artifacts(project).plus(later), desk)
    assert first.digest != second.digest
    assert first.model_layers == second.model_layers
    assert layer_digests(first)[:-1] == layer_digests(second)[:-1]
    assert layer_digests(first)[-1] != layer_digests(second)[-1]


def test_a_dockerfile_that_asks_for_the_commits_time_gets_it(
    project: Path, desk: Desk, base_image: str
) -> None:
    dockerfile = f"FROM {base_image}\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /epoch\n"
    made = run(build(project, dockerfile), desk)
    last = Layout(made.layout).blob_path(layer_digests(made)[-1])
    with tarfile.open(last) as tar:
        epoch = tar.extractfile("epoch")
        assert epoch is not None
        assert int(epoch.read()) == int(COMMITTED.timestamp())


def test_several_platforms_are_one_index(project: Path, desk: Desk, engine: Engine) -> None:
    stage = replace(build(project, COPY_ONLY), platforms=("linux/amd64", "linux/arm64"))
    if engine.image_store == "classic":
        assert any(check.problem is Problem.CONFIGURATION for check in stage.check(desk))
        return
    made = run(stage, desk)
    document = Layout(made.layout).read_json(made.digest)
    assert made.media_type == "application/vnd.oci.image.index.v1+json"
    assert [one.platform for one in made.platforms] == ["linux/amd64", "linux/arm64"]
    assert [child["digest"] for child in document["manifests"]] == [
        str(one.manifest.digest) for one in made.platforms
    ]


def test_a_base_for_another_platform_is_refused(
    project: Path, desk: Desk, base_image: str, engine: Engine
) -> None:
    (there,) = engine.docker("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}").split()
    other = "linux/arm64" if there == "linux/amd64" else "linux/amd64"
    stage = build(project, f"# a comment\nFROM {base_image}\nCOPY app.py /\n")
    if engine.image_store == "classic":  # it looks for the other one in the registry
        return
    with pytest.raises(StageFailed) as raised:
        run(replace(stage, platforms=(other,)), desk)
    assert raised.value.message == (
        f"{project}/Dockerfile:2: the base image {base_image} is for {there}, but the build is for {other}"
    )
    assert f"docker pull --platform {other} {base_image}" in raised.value.advice


@pytest.mark.parametrize("flag", ["{there}", "$BUILDPLATFORM"])
def test_an_image_that_is_fixed_to_another_platform_is_refused(
    project: Path, desk: Desk, base_image: str, engine: Engine, flag: str
) -> None:
    (there,) = engine.docker("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}").split()
    other = "linux/arm64" if there == "linux/amd64" else "linux/amd64"
    stage = build(project, f"FROM --platform={flag.format(there=there)} {base_image}\nCOPY app.py /\n")
    with pytest.raises(StageFailed, match=f"but the build is for {other}"):
        run(replace(stage, platforms=(other,)), desk)


def test_a_platform_that_does_not_exist_is_named_before_any_work(project: Path, desk: Desk) -> None:
    stage = replace(build(project, COPY_ONLY), platforms=("linux/amd64", "foo"))
    problems = [check for check in stage.check(desk) if "'foo' is no platform" in check.found]
    assert [check.problem for check in problems] == [Problem.CONFIGURATION]


@pytest.fixture(params=["environment", "file"])
def secret(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> BuildSecret:
    if request.param == "environment":
        monkeypatch.setenv("BUILD_TOKEN", SECRET)
        return BuildSecret(id="token", environment="BUILD_TOKEN")
    file = tmp_path / "a secret, quoted"
    file.write_text(f"{SECRET}\n")
    return BuildSecret(id="token", file=file)


@pytest.mark.usefixtures("any_engine")
def test_a_secret_lands_nowhere(project: Path, desk: Desk, secret: BuildSecret, said: list[str]) -> None:
    dockerfile = (
        "FROM python:3.11-slim\nRUN --mount=type=secret,id=token "
        "cat /run/secrets/token && tr -d '\\n' < /run/secrets/token | wc -c > /length\n"
    )
    made = run(replace(build(project, dockerfile), secrets=(secret,), cache=False), desk)
    last = made.platforms[0].application_layers[-1]
    with tarfile.open(Layout(made.layout).blob_path(last.digest)) as tar:
        length = tar.extractfile("length")
        assert length is not None
        assert int(length.read()) == len(SECRET)  # it did reach the build
    for folder in (made.layout, desk.folder):
        assert not any(SECRET.encode() in content for content in everything(folder))
    assert not any(SECRET in line for line in said)
    assert any("***" in line for line in said)


def test_a_missing_secret_is_found_before_the_build(project: Path, desk: Desk, engine: Engine) -> None:
    secret = BuildSecret(id="token", environment="NO_SUCH_VARIABLE")
    stage = replace(build(project, COPY_ONLY), secrets=(secret,))
    assert [check.subject for check in stage.check(desk) if not check.passed] == ["build secret token"]
    with pytest.raises(ConfigurationError, match="NO_SUCH_VARIABLE is not set"):
        run(stage, desk)


def test_a_broken_step_is_named_with_its_line(
    project: Path, desk: Desk, base_image: str, any_engine: Engine
) -> None:
    stage = build(project, f"FROM {base_image}\n\nRUN echo about to fail >&2 && \\\n    exit 3\n")
    with pytest.raises(StageFailed) as caught:
        run(stage, desk)
    assert caught.value.message.startswith(f"{project}/Dockerfile:3: process ")
    assert "exit code: 3" in caught.value.message
    assert ">>> RUN echo about to fail" in caught.value.tail
    assert "about to fail" in (desk.folder / "build.log").read_text()
    assert not list((desk.cache / "images").iterdir())


@pytest.mark.parametrize(
    ("dockerfile", "message_and_advice"),
    [
        ("FROM scratch\nRUNN x\n", ("Dockerfile:2: dockerfile parse error", "Mend the Dockerfile")),
        ("FROM scratch\nCOPY nowhere /\n", ("Dockerfile:2: failed to compute cache key", "build.context")),
        (
            "FROM scratch\nCOPY model /model\n",
            ("Dockerfile:2: failed to compute cache key", "layer of its own"),
        ),
        ("FROM localhost:9/no/such:1\n", ("Dockerfile:1: localhost:9/no/such:1: failed", "FROM")),
    ],
)
def test_a_broken_dockerfile_is_explained(
    project: Path, desk: Desk, engine: Engine, dockerfile: str, message_and_advice: tuple[str, str]
) -> None:
    with pytest.raises(StageFailed) as caught:
        run(build(project, dockerfile), desk)
    message, advice = message_and_advice
    assert message in caught.value.message
    assert advice in caught.value.advice


def test_an_application_that_brings_the_model_is_refused(
    project: Path, desk: Desk, any_engine: Engine
) -> None:
    with pytest.raises(StageFailed, match=r"already has /models/digits/app\.py"):
        run(build(project, f"FROM scratch\nCOPY app.py {MODEL_PATH}/\n"), desk)


def test_progress_is_shown_while_the_build_runs(project: Path, desk: Desk, base_image: str) -> None:
    """The step ends only once the test has seen its line, so a line shown afterwards would never come."""

    def say(line: str) -> None:
        if line.endswith(" waiting"):
            answer.listen()

    with socket.socket() as answer:
        answer.bind(("127.0.0.1", 0))
        port = answer.getsockname()[1]
        wait = f"until (: < /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do sleep 0.1; done"
        stage = build(project, f"FROM {base_image}\nRUN echo waiting; timeout 60 bash -c '{wait}'\n")
        run(replace(stage, cache=False, network="host"), replace(desk, say=say))


def test_the_check_finds_what_is_there(project: Path, desk: Desk, any_engine: Engine) -> None:
    checks = build(project, COPY_ONLY).check(desk)
    assert [check for check in checks if not check.passed] == []
    assert any(any_engine.version in check.found for check in checks)


def test_an_unknown_builder_is_a_problem_of_the_configuration(
    project: Path, desk: Desk, engine: Engine
) -> None:
    stage = replace(build(project, COPY_ONLY), builder="no-such-builder")
    (problem,) = (check for check in stage.check(desk) if not check.passed)
    assert problem.problem is Problem.CONFIGURATION
    assert "there is default" in problem.found


@pytest.fixture
def other_builder(engine: Engine, classic_engine: Engine) -> Iterator[str]:
    """The name of a builder on another engine than the one in use: every docker context is one."""
    name = "pipeline-tests-other"
    engine.docker("context", "create", name, "--docker", f"host={classic_engine.endpoint()}")
    yield name
    engine.docker("context", "rm", "--force", name)


def test_a_builder_is_chosen_by_its_name(project: Path, desk: Desk, other_builder: str) -> None:
    stage = replace(build(project, COPY_ONLY), builder=other_builder)
    assert [check for check in stage.check(desk) if not check.passed] == []
    made = run(stage, desk)
    assert made.builder.name == "buildkit (docker driver, classic store)"
    assert Layout(made.layout).has(made.digest)


def test_a_remote_builder_that_does_not_answer_is_a_missing_tool(
    project: Path, desk: Desk, engine: Engine
) -> None:
    name = "pipeline-tests-remote"
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but nobody listens
        address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        engine.docker("buildx", "create", "--driver", "remote", "--name", name, address)
        try:
            with pytest.raises(ToolMissing, match=f"the builder {name} does not answer"):
                run(replace(build(project, COPY_ONLY), builder=name), desk)
        finally:
            engine.docker("buildx", "rm", "--force", name)


def test_no_engine_is_a_missing_tool(
    project: Path, desk: Desk, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/no-such-engine.sock")
    (problem,) = (check for check in build(project, COPY_ONLY).check(desk) if not check.passed)
    assert problem.problem is Problem.TOOL
    assert "no container engine answers" in problem.found
    assert "DOCKER_HOST" in problem.advice


def test_a_small_disk_is_found_before_and_named_during_the_build(
    project: Path, desk: Desk, base_image: str, small_disk: Path
) -> None:
    stage = build(project, f"FROM {base_image}\nCOPY app.py /\n")
    lent = replace(desk, cache=small_disk / "cache")
    needs = stage.disk_needs(artifacts(project), lent)
    (problem,) = (check for check in forecast(needs) if not check.passed)
    assert problem.problem is Problem.DISK
    assert problem.subject == f"disk at {small_disk}"
    with pytest.raises(DiskFull):
        run(stage, lent)


def test_what_the_engine_has_is_not_needed_again(project: Path, desk: Desk, base_image: str) -> None:
    stage = build(project, f"FROM {base_image}\nCOPY app.py /\n")
    first = {need.purpose: need for need in stage.disk_needs(artifacts(project), desk)}
    assert first["engine"].size_bytes > first["image layers"].size_bytes > 10_000_000
    assert not first["image layers"].at_least
    image = run(stage, desk)
    again = {need.purpose: need for need in stage.disk_needs(artifacts(project), desk)}
    assert again["image layers"].size_bytes == image.application_size_bytes
    assert loading_need(desk.cache / "images").size_bytes < 100_000  # the base image is there


@contextmanager
def tcp_relay(socket_path: str) -> Iterator[str]:
    """Make an engine answer at an address that may be anywhere."""

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect(socket_path)
                back = threading.Thread(target=pump, args=(engine, self.request), daemon=True)
                back.start()
                pump(self.request, engine)
                back.join()

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_the_disk_of_an_engine_elsewhere_is_not_looked_at(
    project: Path, desk: Desk, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = build(project, "FROM scratch\nCOPY app.py /\n")
    here = {need.purpose: need.path for need in stage.disk_needs(artifacts(project), desk)}
    assert here["engine"] == here["context"] == Path(engine.docker("info", "--format", "{{.DockerRootDir}}"))
    with tcp_relay(engine.endpoint().removeprefix("unix://")) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        there = {need.purpose: need.path for need in stage.disk_needs(artifacts(project), desk)}
    assert there == {"context": None, "engine": None, "image layers": desk.cache / "images"}


def test_other_encodings_than_utf_8_are_no_obstacle(project: Path, desk: Desk, engine: Engine) -> None:
    stage = build(project, COPY_ONLY)
    stage.dockerfile.write_bytes(b"# caf\xe9\n" + COPY_ONLY.encode())
    (project / ".dockerignore").write_bytes(b"# caf\xe9\n*.tmp\n")
    assert run(stage, desk).digest == run(build(project, COPY_ONLY), desk).digest


def test_a_file_that_nobody_may_read_is_named(project: Path, engine: Engine) -> None:
    (project / "secret").mkdir(mode=0)
    (project.parent / "desk").mkdir()
    code = f"""
from pathlib import Path
from tests.integration.test_build import Desk, build, run
from pipeline.errors import StageFailed
stage = build(Path({str(project)!r}), "FROM scratch\\nCOPY . /\\n")
desk = Desk(folder=Path({str(project.parent / "desk")!r}), cache=Path({str(project.parent / "cache")!r}))
assert all(check.passed for check in stage.check(desk))
try:
    run(stage, desk)
except StageFailed as error:
    print(error.message, error.advice)
"""
    answer = unprivileged((sys.executable, "-c", code), Path(__file__).parents[2])
    assert "permission denied" in answer
    assert ".dockerignore" in answer
    (project / ".dockerignore").write_text("secret\n")
    assert unprivileged((sys.executable, "-c", code), Path(__file__).parents[2]) == ""


def test_the_identity_follows_what_the_image_is_made_of(project: Path, desk: Desk, engine: Engine) -> None:
    unprepared = build(project, COPY_ONLY)
    have = artifacts(project)
    assert unprepared.identity(have) is None
    stage = unprepared.prepared(desk)
    identity = stage.identity(have)
    assert identity is not None
    assert unprepared.prepared(desk).identity(have) == identity
    others = [
        replace(stage, tag=Tag("v2")),
        replace(stage, arguments={"A": "b"}),
        replace(stage, weights=()),
        replace(stage, compression=Compression("zstd")),
        replace(stage, compression=Compression("gzip", 9)),
    ]
    assert identity not in [other.identity(have) for other in others]
    (project / ".pipeline").mkdir()
    (project / ".pipeline/record.json").write_text("{}")
    assert stage.identity(have) == identity
    (project / "model/weights.bin").write_bytes(WEIGHTS.swapcase())
    assert unprepared.prepared(desk).identity(have) != identity


def damage_blob(made: BuiltImage) -> None:
    layer = made.platforms[0].application_layers[0]
    Layout(made.layout).blob_path(layer.digest).unlink()


def remove_layout(made: BuiltImage) -> None:
    made.layout.rename(made.layout.with_name("elsewhere"))


def truncate_weights(made: BuiltImage) -> None:
    os.truncate(Path(made.model_layers[0].source) / "weights.bin", 3)


@pytest.mark.parametrize("damage", [damage_blob, remove_layout, truncate_weights])
def test_a_result_is_usable_while_all_of_it_is_there(
    project: Path, desk: Desk, engine: Engine, damage: Callable[[BuiltImage], None]
) -> None:
    stage = build(project, COPY_ONLY)
    made = BuiltImage.model_validate_json(run(stage, desk).model_dump_json())  # as the record gives it back
    assert stage.prepared(desk).usable(made)
    damage(made)
    assert not stage.prepared(desk).usable(made)


INTERRUPTED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import Source
from pipeline.process import stop_descendants
from stages.build import Build

project, work = map(Path, sys.argv[1:])
source = Source(root=project, commit="0" * 40, committed_at=datetime(2026, 1, 2, tzinfo=UTC))
stage = Build(image="digits", context=project, dockerfile=project / "Dockerfile", cache=False)
try:
    stage.run(Artifacts(source), Desk(folder=work, cache=work, say=lambda line: print(line, flush=True)))
except KeyboardInterrupt:
    stop_descendants()
    sys.exit(130)
"""


def test_an_interrupted_build_ends_and_leaves_nothing(project: Path, base_image: str, tmp_path: Path) -> None:
    (project / "Dockerfile").write_text(f"FROM {base_image}\nRUN echo sleeping now; sleep 100\n")
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, "-c", INTERRUPTED, str(project), str(work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.rstrip().endswith(" sleeping now"):
                child.send_signal(signal.SIGINT)
                break
        child.stdout.read()
        assert child.wait() == 130
    assert not list((work / "images").iterdir())
