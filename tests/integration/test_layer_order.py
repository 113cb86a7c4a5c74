"""The order of layers on real engines: what weights rest on, and what moves when only the code changes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import StageFailed
from pipeline.model import BuiltImage, Source, SuiteReport
from pipeline.reference import Repository
from stages.build import Build
from stages.models.file import FolderFiles
from stages.models.model import Model
from stages.oci.layout import Layout
from stages.push import Push
from stages.servers.archive import load_application
from stages.servers.engine import Engine as BenchmarkEngine
from stages.servers.mounts import model_mounts
from tests.support.base_image import BASE_IMAGE
from tests.support.engine import Engine
from tests.support.registry import Registry

COMMITTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MODEL_PATH = "/models/digits"
MIB = 1024 * 1024
FILES = {"weights.bin": hashlib.shake_256(b"weights").digest(9 * MIB), "labels.txt": b"zero\none\n"}

APPLICATION = f"""\
import hashlib, pathlib
for path in (*sorted(pathlib.Path("{MODEL_PATH}").iterdir()), pathlib.Path("/app/app.py")):
    print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"""
DOCKERFILE = f"""\
FROM {BASE_IMAGE} AS runtime
RUN echo made > /made
FROM runtime
WORKDIR /app
ENV A=b
COPY app.py .
USER 1000
CMD ["python3", "/app/app.py"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "model").mkdir(parents=True)
    for name, content in FILES.items():
        (folder / "model" / name).write_bytes(content)
    (folder / "app.py").write_text(APPLICATION)
    return folder


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def desk(tmp_path: Path, said: list[str]) -> Iterator[Desk]:
    (tmp_path / "desk").mkdir()
    lent = Desk(folder=tmp_path / "desk", cache=tmp_path / "cache", say=said.append)
    yield lent
    lent.clear()


def stage(project: Path, dockerfile: str) -> Build:
    (project / "Dockerfile").write_text(dockerfile)
    return Build(
        image="digits",
        context=project,
        dockerfile=project / "Dockerfile",
        model=Model(files=FolderFiles(folder=project / "model"), path=MODEL_PATH),
    )


def build(made_by: Build, desk: Desk, commit: str = "1") -> BuiltImage:
    source = Source(root=made_by.context, commit=40 * commit, committed_at=COMMITTED)
    report = SuiteReport(command=("true",), exit_code=0, duration_s=0.1)
    return made_by.run(Artifacts(source, report), desk)


def base_layers(engine: Engine) -> list[str]:
    said = engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", BASE_IMAGE)
    layers: list[str] = json.loads(said)
    return layers


@dataclass(frozen=True)
class Pulled:
    """An image that an engine pulled from a registry and ran."""

    complete: set[str]
    """The beginnings of the digests of the layers that it did not have yet."""
    diff_ids: list[str]
    output: dict[str, str]


def pull(engine: Engine, name: str) -> Pulled:
    said = engine.docker("pull", name)
    diff_ids = engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", name)
    output = engine.docker("run", "--rm", "--network", "none", name)
    return Pulled(
        complete=set(re.findall(r"^(\w+): Pull complete$", said, re.MULTILINE)),
        diff_ids=json.loads(diff_ids),
        output=dict(line.split() for line in output.splitlines()),
    )


@pytest.mark.usefixtures("docker_login")
def test_a_change_of_code_moves_no_weights_to_an_engine(  # noqa: PLR0913, PLR0917 - fixtures
    any_engine: Engine, project: Path, desk: Desk, registry: Registry, repository_name: str, said: list[str]
) -> None:
    repository = f"{registry.address}/{repository_name}"
    push = Push(repositories=(Repository(repository),), layout_folder=project.parent / "delivered")
    names = [f"{repository}:{40 * commit}" for commit in "12"]
    pulled = []
    try:
        for name, code in zip(names, (APPLICATION, f"{APPLICATION}# changed\n"), strict=True):
            (project / "app.py").write_text(code)
            image = build(stage(project, DOCKERFILE), desk, commit=name[-1])
            push.run(Artifacts(image), desk)
            pulled.append(pull(any_engine, name))
            expected = {**FILES, "app.py": code.encode()}
            assert pulled[-1].output == {
                file: hashlib.sha256(content).hexdigest() for file, content in expected.items()
            }
    finally:
        any_engine.docker("image", "rm", "--force", *names)
    assert not any("engines will unpack them anew" in line for line in said)
    weights = [str(layer.descriptor.digest) for layer in image.model_layers]
    assert len(weights) == 2
    below = [*base_layers(any_engine), *weights]
    first, second = (one.diff_ids for one in pulled)
    # the chain id of a layer is made of its diff id and those below it
    assert first[: len(below)] == second[: len(below)] == below
    assert first[len(below) : -1] == second[len(below) : -1]
    assert first[-1] != second[-1]
    (own,) = pulled[1].complete
    assert image.platforms[0].application_layers[-1].digest.encoded.startswith(own)


EVERYTHING = f"""\
ARG BASE={BASE_IMAGE}
FROM ${{BASE}} AS base
LABEL a=b
ONBUILD RUN echo trigger > /trigger
FROM base AS other
RUN echo other > /other
FROM base AS app-amd64
RUN echo amd64 > /architecture
FROM base AS app-arm64
RUN echo arm64 > /architecture
RUN echo one more
FROM app-${{TARGETARCH}} AS own
ARG FOO=bar
ARG ONE TWO=2 THREE
MAINTAINER me
WORKDIR /app
WORKDIR sub
COPY app.py .
COPY --link app.py /linked/
ADD app.py /added
RUN <<EOT
echo hi > /here-document
EOT
RUN <<-"EOT" python3
	# a comment
	open("/script", "w").write("hi")
	EOT
COPY <<one <<two /files/
RUN first
one
COPY second /
two
SHELL ["/bin/bash", "-c"]
RUN cat <<<LABEL > /here-string
HEALTHCHECK CMD true
HEALTHCHECK NONE
EXPOSE 80/tcp 81
VOLUME /data /data2
USER 1000
STOPSIGNAL SIGTERM
ENTRYPOINT ["python3"]
CMD ["a"]
RUN ["/bin/true"]
RUN --mount=type=cache,target=/tmp/cache true
env lower=1
COPY --from=other --chmod=700 --chown=1000:1000 /other /other
FROM own
ONBUILD COPY app.py /
RUN echo one \\
   # a comment

   two
LABEL a=b \\
      c=d
"""


@pytest.mark.parametrize("target", [None, "app-amd64"])
def test_buildkit_writes_a_step_of_history_for_each_instruction(
    any_engine: Engine, project: Path, desk: Desk, said: list[str], target: str | None
) -> None:
    image = build(replace(stage(project, EVERYTHING), target=target, network="none"), desk)
    base = base_layers(any_engine)
    weights = [str(layer.descriptor.digest) for layer in image.model_layers]
    diff_ids = Layout(image.layout).read_json(image.platforms[0].config.digest)["rootfs"]["diff_ids"]
    assert diff_ids[: len(base) + len(weights)] == [*base, *weights]
    assert not any("engines will unpack them anew" in line for line in said)


def test_the_stages_of_each_platform_are_told_apart(
    project: Path, desk: Desk, engine: Engine, said: list[str]
) -> None:
    if engine.image_store == "classic":
        return
    dockerfile = (
        "FROM scratch AS app-amd64\nCOPY app.py /\nFROM scratch AS app-arm64\nCOPY app.py /\nENV A=b\n"
        "FROM app-${TARGETARCH}\nCOPY app.py /again\n"
    )
    platforms = ("linux/amd64", "linux/arm64")
    image = build(replace(stage(project, dockerfile), platforms=platforms), desk)
    layout = Layout(image.layout)
    weights = [str(layer.descriptor.digest) for layer in image.model_layers]
    for platform in image.platforms:
        diff_ids = layout.read_json(platform.config.digest)["rootfs"]["diff_ids"]
        assert diff_ids[: len(weights)] == weights
    assert not any("engines will unpack them anew" in line for line in said)


LOOK = """\
import os
for path in ("/models", "/models/digits", "/models/digits/labels.txt"):
    found = os.stat(path)
    print(path, found.st_uid, oct(found.st_mode & 0o555))
"""


@pytest.mark.usefixtures("docker_login")
def test_folders_of_the_dockerfile_are_its_own_in_the_image_and_in_the_benchmark(
    any_engine: Engine, project: Path, desk: Desk, registry: Registry, repository_name: str
) -> None:
    (project / "app.py").write_text(LOOK)
    made = f"RUN mkdir -p {MODEL_PATH} && chown 1000 /models && chown 1001 {MODEL_PATH}"
    dockerfile = f'FROM {BASE_IMAGE}\n{made}\nCOPY app.py /\nCMD ["python3", "/app.py"]\n'
    image = build(replace(stage(project, dockerfile), network="none"), desk)
    repository = f"{registry.address}/{repository_name}"
    push = Push(repositories=(Repository(repository),), layout_folder=project.parent / "delivered")
    push.run(Artifacts(image), desk)
    name = f"{repository}:{image.tag}"
    any_engine.docker("pull", "--quiet", name)
    try:
        pulled = any_engine.docker("run", "--rm", "--network", "none", name)
    finally:
        any_engine.docker("image", "rm", name)
    assert pulled.splitlines()[0] == "/models 1000 0o555"
    assert pulled.splitlines()[1] == "/models/digits 1001 0o555"
    engine = BenchmarkEngine(desk.run)
    application = load_application(image, engine.facts(), engine, desk, "order")
    mounts = [
        word
        for mount in model_mounts(image.model_layers, desk.folder / "staging")
        for word in ("--mount", mount.argument())
    ]
    measured = any_engine.docker("run", "--rm", "--network", "none", *mounts, application)
    assert [line.split()[2] for line in measured.splitlines()] == [
        line.split()[2] for line in pulled.splitlines()
    ]
    assert measured.splitlines()[0] == pulled.splitlines()[0]


def refusal(project: Path, desk: Desk, instruction: str) -> str:
    dockerfile = f"FROM {BASE_IMAGE}\nRUN mkdir /models && echo > /models/other\n{instruction}\n"
    with pytest.raises(StageFailed) as caught:
        build(replace(stage(project, dockerfile), network="none"), desk)
    return caught.value.message


def test_a_dockerfile_that_would_take_the_model_away_is_refused(
    any_engine: Engine, project: Path, desk: Desk
) -> None:
    message = refusal(project, desk, "RUN rm -rf /models")
    assert "the Dockerfile removes /models (`RUN rm -rf /models`)" in message


@pytest.mark.usefixtures("base_image")
@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        ("RUN rm -r /models && ln -s /data /models", "/models in the image is a link to /data (`RUN rm -r"),
        (
            f"COPY app.py {MODEL_PATH}/",
            f"already has {MODEL_PATH}/app.py, where the model goes (`COPY app.py",
        ),
        (
            f"RUN mkdir -m 700 -p {MODEL_PATH}",
            f"{MODEL_PATH} in the image belongs to 0:0 with mode drwx------",
        ),
    ],
)
def test_what_stands_in_the_models_way_is_named_with_its_instruction(
    project: Path, desk: Desk, instruction: str, message: str
) -> None:
    assert message in refusal(project, desk, instruction)
