"""Weights that are delivered from an object store: streamed to the registry once, and never again."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import BuiltImage, PushedReference
from pipeline.reference import Repository
from stages.models import recognise
from stages.models.lock import Lock
from stages.models.model import Model
from stages.push import Push
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.object_stores import running_store
from tests.support.registry import Registry
from tests.support.small_image import make_image

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("docker_login")]

CONTENT = {"weights.bin": bytes(range(256)) * 40_000, "config.json": b"{}", "vocabulary.txt": b"a b c"}
SOURCE = "s3://models/digits/1"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """S3 behind a proxy that counts what is asked for."""
    with ExitStack() as running:
        s3 = running.enter_context(running_store("s3", tmp_path))
        for path, content in CONTENT.items():
            s3.put(f"digits/1/{path}", content)
        proxy = running.enter_context(fault_proxy(s3.port))
        for name, value in s3.environment_at(proxy.port).items():
            monkeypatch.setenv(name, value)
        yield proxy


class Machine:
    """A machine that has never seen the model; its files and its cache are its own."""

    def __init__(self, folder: Path, repository: Repository, lock: Lock | None = None) -> None:
        folder.mkdir()
        self.folder = folder
        self.desk = Desk(folder=folder, cache=folder / "cache")
        self.files = recognise(SOURCE, folder)
        self.model = Model(files=self.files, path="/models/small", lock=lock)
        self.repository = repository

    def build(self, code: bytes, tag: str) -> BuiltImage:
        layers = self.model.layers(self.desk)
        return make_image(self.folder / "image", {"app.py": code}, model_layers=layers, tag=tag)

    def push(self, image: BuiltImage) -> PushedReference:
        stage = Push(
            repositories=(self.repository,), layout_folder=self.folder / "delivered", files=self.files
        )
        (reference,) = stage.run(Artifacts(image), self.desk).references
        return reference

    def bytes_written(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def objects_read(store: FaultProxy) -> list[str]:
    """Return the objects that were read since the last call."""
    read = [seen.path.rpartition("/")[2] for seen in store.of("GET", "/models/digits/1/")]
    store.seen.clear()
    return sorted(read)


def test_weights_travel_from_the_store_to_the_registry_once(
    store: FaultProxy, registry: Registry, repository_name: str, tmp_path: Path, skopeo: str
) -> None:
    repository = Repository(f"{registry.address}/{repository_name}")
    laptop = Machine(tmp_path / "laptop", repository)
    lock = laptop.model.locked(SOURCE, None, laptop.desk)
    assert objects_read(store) == sorted(CONTENT)  # once, for their digests

    first = Machine(tmp_path / "first", repository, lock)
    image = first.build(b"1", "one")
    assert objects_read(store) == []  # the lock knows them
    pushed = first.push(image)
    assert objects_read(store) == sorted(CONTENT)  # the registry did not
    assert {blob.how for blob in pushed.blobs} == {"uploaded"}

    second = Machine(tmp_path / "second", repository, lock)
    pushed = second.push(second.build(b"2", "two"))
    assert objects_read(store) == []  # now both do
    assert pushed.bytes_sent < 20_000
    assert pushed.bytes_saved > len(CONTENT["weights.bin"])
    assert second.bytes_written() < 100_000

    login = f"--src-creds={registry.username}:{registry.password}"
    copied = tmp_path / "copied"
    name = f"docker://{repository}@{pushed.digest}"
    command = [skopeo, "--insecure-policy", "copy", "--src-tls-verify=false", login, name, f"dir:{copied}"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    found: dict[str, bytes] = {}
    for layer in image.model_layers:
        with tarfile.open(fileobj=io.BytesIO((copied / layer.descriptor.digest.encoded).read_bytes())) as tar:
            members = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
            found |= {Path(path).name: file.read() for path, file in members.items() if file is not None}
    assert found == CONTENT
