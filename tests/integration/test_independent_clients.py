"""What the build and push stages deliver, judged by clients that are not ours: crane, skopeo, both engines.

`crane validate` reads layers only if they are gzip (google/go-containerregistry issue 1826), which a model's
never are. So it judges manifests and configurations (`--fast`); the layers are read by `crane export` and
`skopeo copy`, and their diff ids checked by the engines that pull them.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import BuiltImage, PushedReference, Source, SuiteReport
from pipeline.reference import Repository
from stages.build import Build
from stages.models.file import FolderFiles
from stages.models.model import Model
from stages.oci.layer_compression import Compression, Kind
from stages.oci.layout import Layout
from stages.push import Push
from tests.support.engine import Engine
from tests.support.registry import Registry

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL_PATH = "/models/digits"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MODEL = {
    "shard-1.safetensors": hashlib.shake_256(b"one").digest(9 * 1024 * 1024),  # a layer of its own
    "shard-2.safetensors": hashlib.shake_256(b"two").digest(3_000_001),
    "tokenizer/vocabulary.txt": b"zero\none\n",
    "config.json": b"{}\n",
    "an empty file": b"",
}
SHA256 = {f"{MODEL_PATH}/{name}": hashlib.sha256(content).hexdigest() for name, content in MODEL.items()}

pytestmark = pytest.mark.usefixtures("docker_login")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "desk").mkdir()
    lent = Desk(folder=tmp_path / "desk", cache=tmp_path / "cache")
    yield lent
    lent.clear()


@pytest.fixture(params=["containerd", "classic"])
def any_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine that docker reaches in this test: one of either image store."""
    name = "engine" if request.param == "containerd" else "classic_engine"
    chosen: Engine = request.getfixturevalue(name)
    monkeypatch.setenv("DOCKER_HOST", chosen.endpoint())
    return chosen


@pytest.fixture
def repository(registry: Registry, repository_name: str) -> Repository:
    return Repository(f"{registry.address}/{repository_name}")


@pytest.fixture
def project(tmp_path: Path, busybox: Path) -> Path:
    folder = tmp_path / "project"
    for name, content in MODEL.items():
        file = folder / "model" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (folder / "busybox").write_bytes(busybox.read_bytes())
    (folder / "busybox").chmod(0o755)
    (folder / "app.py").write_text("print('hello')\n" * 100)
    return folder


def build(project: Path, dockerfile: str, compression: Compression | None = None) -> Build:
    path = project / "Dockerfile"
    path.write_text(dockerfile)
    return Build(
        image="digits",
        context=project,
        dockerfile=path,
        model=Model(files=FolderFiles(folder=project / "model"), path=MODEL_PATH),
        compression=compression or Compression(),
        network="none",
    )


BASE = 'FROM scratch\nCOPY busybox unique /bin/\nRUN ["/bin/busybox", "touch", "/gone"]\n'
APPLICATION = (
    "FROM {base}\n"
    'RUN ["/bin/busybox", "sh", "-c", "echo made > /made && ln /made /same && rm /gone"]\n'
    "COPY app.py /app/\nUSER 1000\n"
    f"CMD {json.dumps(['/bin/busybox', 'sha256sum', *SHA256])}\n"
)


def run(stage: Build, desk: Desk) -> BuiltImage:
    source = Source(root=stage.context, commit=COMMIT, committed_at=datetime(2026, 1, 2, tzinfo=UTC))
    return stage.run(Artifacts(source, SuiteReport(command=("true",), exit_code=0, duration_s=0.1)), desk)


def push(image: BuiltImage, repository: Repository, desk: Desk) -> PushedReference:
    stage = Push(repositories=(repository,), layout_folder=desk.folder / "delivered")
    (pushed,) = stage.run(Artifacts(image), desk).references
    return pushed


@pytest.fixture
def base(project: Path, repository: Repository, desk: Desk, engine: Engine) -> PushedReference:
    """A base image in the registry; no engine knows its layers from before, in another compression."""
    (project / "unique").write_text(repository)
    return push(run(replace(build(project, BASE), model=None), desk), repository.child("base"), desk)


def said_by(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command[:2]}: {done.stdout}{done.stderr}"
    return done.stdout


def manifest_of(crane: str, pushed: PushedReference, *options: str) -> dict[str, list[dict[str, str]]]:
    name = f"{pushed.repository}@{pushed.digest}"
    found: dict[str, list[dict[str, str]]] = json.loads(said_by(crane, "manifest", *options, name))
    return found


@pytest.fixture
def everybody_agrees(
    crane: str, skopeo: str, registry: Registry, tmp_path: Path
) -> Callable[[PushedReference], None]:
    """Let crane and skopeo read every byte of an image, and tell what they make of it."""

    def check(pushed: PushedReference) -> None:
        name = f"{pushed.repository}:{pushed.tag}"
        said_by(crane, "validate", "--fast", "--remote", name)
        assert said_by(crane, "digest", name).strip() == pushed.digest
        user = f"{registry.username}:{registry.password}"
        login = ("--tls-verify=false", f"--creds={user}")
        source = ("--src-tls-verify=false", f"--src-creds={user}")
        said_by(crane, "export", name, str(tmp_path / "exported.tar"))
        with tarfile.open(tmp_path / "exported.tar") as tar:
            assert {path: sha256(tar, path) for path in SHA256} == SHA256
        copied = tmp_path / "copied"
        said_by(skopeo, "--insecure-policy", "copy", "--all", *source, f"docker://{name}", f"dir:{copied}")
        assert {blob.digest.encoded for blob in pushed.blobs} <= {path.name for path in copied.iterdir()}
        seen = json.loads(said_by(skopeo, "inspect", *login, f"docker://{name}"))
        assert seen["Digest"] == pushed.digest
        assert {blob.digest for blob in pushed.blobs} >= set(seen["Layers"])
        assert seen["Labels"]["org.opencontainers.image.revision"] == COMMIT

    return check


def sha256(tar: tarfile.TarFile, path: str) -> str:
    file = tar.extractfile(path.lstrip("/"))
    assert file is not None
    return hashlib.sha256(file.read()).hexdigest()


def files_inside(engine: Engine, pushed: PushedReference, *options: str) -> Mapping[str, str]:
    """Pull an image, run it, and return the sha256 of the model's files as the container sees them."""
    name = f"{pushed.repository}@{pushed.digest}"
    engine.docker("pull", "--quiet", *options, name)
    try:
        printed = engine.docker("run", "--rm", "--network=none", *options, name)
    finally:
        engine.docker("rmi", "--force", name)
    lines = (line.split("  ", 1) for line in printed.splitlines())
    return {path: digest for digest, path in lines}


@pytest.mark.parametrize("compression", [Compression("gzip", 9), Compression("zstd", 19)])
def test_every_client_reads_it_and_every_engine_runs_it(  # noqa: PLR0913, PLR0917 - one delivery, from end to end
    project: Path,
    base: PushedReference,
    repository: Repository,
    desk: Desk,
    compression: Compression,
    any_engine: Engine,
    engine: Engine,
    classic_engine: Engine,
    crane: str,
    everybody_agrees: Callable[[PushedReference], None],
) -> None:
    dockerfile = APPLICATION.format(base=f"{base.repository}@{base.digest}")
    stage = replace(build(project, dockerfile, compression), cache=False)
    image = run(stage, desk)
    time.sleep(1.1)  # its steps run in another second
    assert run(stage, desk) == image

    pushed = push(image, repository, desk)
    everybody_agrees(pushed)
    layers = manifest_of(crane, pushed)["layers"]
    models = [layer.descriptor.digest for layer in image.model_layers]
    assert [layer["digest"] for layer in layers[2 : 2 + len(models)]] == models
    assert {layer["mediaType"] for layer in layers[2 : 2 + len(models)]} == {LAYER}
    assert {layer["mediaType"] for layer in layers[2 + len(models) :]} == {f"{LAYER}+{compression.kind}"}
    if any_engine.image_store == "containerd":
        assert layers[:2] == manifest_of(crane, base)["layers"]

    assert files_inside(engine, pushed) == SHA256
    assert files_inside(classic_engine, pushed) == SHA256


def diff_ids(image: BuiltImage) -> list[str]:
    config = Layout(image.layout).read_json(image.platforms[0].config.digest)
    return [str(digest) for digest in config["rootfs"]["diff_ids"]]


def test_compression_changes_no_diff_id_and_no_layer_of_the_base(
    project: Path, base: PushedReference, desk: Desk, any_engine: Engine
) -> None:
    stage = build(project, APPLICATION.format(base=f"{base.repository}@{base.digest}"))
    kinds: tuple[Kind, ...] = ("gzip", "zstd", "uncompressed")
    images = {kind: run(replace(stage, compression=Compression(kind)), desk) for kind in kinds}
    assert len({image.digest for image in images.values()}) == len(kinds)
    (ids,) = {tuple(diff_ids(image)) for image in images.values()}
    assert set(ids) > {str(layer.descriptor.digest) for layer in images["gzip"].model_layers}
    (platform,) = images["uncompressed"].platforms
    assert {str(layer.digest) for layer in platform.application_layers[2:]} < set(ids)
    if any_engine.image_store == "containerd":
        first = [image.platforms[0].application_layers[:2] for image in images.values()]
        assert first[0] == first[1] == first[2]


def test_both_image_stores_make_the_same_layers(
    project: Path, desk: Desk, engine: Engine, classic_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for what removes a file of a layer below: the stores write that down in ways of their own."""
    step = '["/bin/busybox", "sh", "-c", "echo made > /made && ln /made /same && chown 7:8 /made"]'
    stage = build(project, f"FROM scratch\nCOPY busybox app.py /bin/\nRUN {step}\nWORKDIR /app\n")
    layers = []
    for one in (engine, classic_engine):
        monkeypatch.setenv("DOCKER_HOST", one.endpoint())
        layers.append(run(stage, desk).platforms[0].application_layers)
    assert layers[0] == layers[1]


def test_platforms_share_the_model_layers(  # noqa: PLR0913, PLR0917 - one delivery, from end to end
    project: Path,
    repository: Repository,
    desk: Desk,
    engine: Engine,
    crane: str,
    everybody_agrees: Callable[[PushedReference], None],
) -> None:
    if engine.image_store == "classic":  # it holds images of one platform alone
        return
    platforms = ("linux/amd64", "linux/arm64")
    dockerfile = (
        "FROM scratch\nARG TARGETARCH\nCOPY busybox /bin/\nCOPY app.py /app-$TARGETARCH.py\n"
        f"CMD {json.dumps(['/bin/busybox', 'sha256sum', *SHA256])}\n"
    )
    image = run(replace(build(project, dockerfile), platforms=platforms), desk)
    pushed = push(image, repository, desk)
    everybody_agrees(pushed)

    models = {layer.descriptor.digest for layer in image.model_layers}
    index = manifest_of(crane, pushed)
    assert [child["digest"] for child in index["manifests"]] == [
        one.manifest.digest for one in image.platforms
    ]
    seen = {
        platform: {
            layer["digest"] for layer in manifest_of(crane, pushed, f"--platform={platform}")["layers"]
        }
        for platform in platforms
    }
    assert models < seen["linux/amd64"] & seen["linux/arm64"]
    assert seen["linux/amd64"] != seen["linux/arm64"]
    uploads = [blob.digest for blob in pushed.blobs if blob.how == "uploaded"]
    assert sorted(digest for digest in uploads if digest in models) == sorted(models)
    own = next(one for one in platforms if one.endswith(machine(engine)))
    assert files_inside(engine, pushed, f"--platform={own}") == SHA256


def machine(engine: Engine) -> str:
    return engine.docker("version", "--format", "{{.Server.Arch}}")
