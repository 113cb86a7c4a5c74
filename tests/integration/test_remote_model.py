"""Weights that are delivered from an object store: streamed to the registry once, and never again."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import DiskFull
from pipeline.model import BuiltImage, PushedReference
from pipeline.reference import Repository
from stages.models import recognise
from stages.models.checks import Remote
from stages.models.fetch import fetch
from stages.models.interface import SourceFile
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


@dataclass(frozen=True, slots=True)
class _WhileOthersWrite(Remote):
    """A source whose file has room when it is asked for, and none any more when it comes."""

    disk: Path
    content: bytes = bytes(600_000)
    name: ClassVar[str] = "s3://models/digits"

    def list(self, desk: Desk) -> tuple[SourceFile, ...]:
        del desk
        return (SourceFile(path="w.bin", size_bytes=len(self.content), identity="w"),)

    def read(self, file: SourceFile, offset: int = 0) -> Iterator[bytes]:
        del file
        yield self.content[offset:100_000]
        if self.disk.exists():
            (self.disk / "others").write_bytes(bytes(700_000))
        yield self.content[100_000:]


def test_a_disk_that_fills_while_weights_come_is_named(tmp_path: Path, small_disk: Path) -> None:
    layers = Model(files=_WhileOthersWrite(tmp_path / "none"), path="/models/w").layers(
        Desk(folder=tmp_path, cache=tmp_path)
    )
    desk = Desk(folder=tmp_path, cache=small_disk)
    try:
        with pytest.raises(DiskFull, match="no room left for the weights"):
            fetch(layers, _WhileOthersWrite(small_disk), desk)
    finally:
        desk.clear()  # it keeps a file of that disk open
