import stat
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.desk import Desk
from pipeline.errors import DiskFull, StageFailed
from pipeline.model import ModelLayer
from stages.models.fetch import fetch
from stages.models.file import FolderFiles
from stages.models.huggingface import HuggingFaceFiles
from stages.models.model import Model
from stages.servers.mounts import model_mounts
from tests.support.hub import Hub, running_hub

CONTENT = {"big.bin": bytes(range(256)) * 12_000, "small.bin": b"12345", "part/config.json": b"{}"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with_cache = Desk(folder=tmp_path, cache=tmp_path / "cache")
    yield with_cache
    with_cache.clear()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub(f"team/digits-{uuid4().hex[:8]}") as running:
        running.commit(CONTENT)
        monkeypatch.setenv("HF_ENDPOINT", running.server.url)
        yield running


def files_at(hub: Hub, commit: str) -> HuggingFaceFiles:
    return HuggingFaceFiles(repository=hub.repository, revision=commit)


def described(hub: Hub, desk: Desk, commit: str) -> tuple[ModelLayer, ...]:
    layers = Model(files=files_at(hub, commit), path="/models/digits").layers(desk)
    hub.server.received.clear()
    return layers


def fetched(hub: Hub) -> list[tuple[str, str | None]]:
    """Return what was asked for since the layers were described: the end of each path, and the range."""
    return [
        (request.path.rpartition("/")[2], request.headers.get("Range"))
        for request in hub.server.received
        if "/resolve/" in request.path
    ]


def shown(layers: tuple[ModelLayer, ...]) -> dict[str, bytes]:
    return {file.path: (Path(one.source) / file.path).read_bytes() for one in layers for file in one.files}


def test_remote_weights_come_to_a_folder_that_can_be_mounted(hub: Hub, desk: Desk, tmp_path: Path) -> None:
    layers = described(hub, desk, hub.branches["main"])
    here = fetch(layers, files_at(hub, hub.branches["main"]), desk)
    assert shown(here) == CONTENT
    assert [layer.descriptor for layer in here] == [layer.descriptor for layer in layers]
    (mount,) = model_mounts(here, tmp_path / "staging")
    assert mount.target == "/models/digits"
    modes = {stat.S_IMODE((mount.source / path).stat().st_mode) for path in CONTENT}
    assert modes == {0o644}


def test_what_is_here_is_not_fetched_again(hub: Hub, desk: Desk) -> None:
    commit = hub.branches["main"]
    layers = described(hub, desk, commit)
    fetch(layers, files_at(hub, commit), desk)
    desk.clear()
    hub.server.received.clear()
    assert shown(fetch(layers, files_at(hub, commit), desk)) == CONTENT
    assert fetched(hub) == []


def test_the_next_model_keeps_the_files_that_are_the_same(hub: Hub, desk: Desk) -> None:
    commit = hub.branches["main"]
    fetch(described(hub, desk, commit), files_at(hub, commit), desk)
    desk.clear()
    changed = {**CONTENT, "small.bin": b"54321"}
    commit = hub.commit(changed)
    layers = described(hub, desk, commit)
    assert shown(fetch(layers, files_at(hub, commit), desk)) == changed
    assert fetched(hub) == [("small.bin", None)]
    assert len(list((desk.cache / "weights/files").iterdir())) == 3
    assert len(list((desk.cache / "weights/folders").iterdir())) == 1


def test_files_that_another_run_holds_are_left_alone(hub: Hub, desk: Desk) -> None:
    commit = hub.branches["main"]
    held = fetch(described(hub, desk, commit), files_at(hub, commit), desk)
    other = Desk(folder=desk.folder, cache=desk.cache)
    commit = hub.commit({"other.bin": b"other"})
    fetch(described(hub, other, commit), files_at(hub, commit), other)
    other.clear()
    assert shown(held) == CONTENT


@pytest.mark.parametrize("half", [CONTENT["big.bin"][:1_000_000], b"x" * 1000, b"x" * 4_000_000])
def test_half_a_file_goes_on_or_begins_anew(hub: Hub, desk: Desk, half: bytes) -> None:
    commit = hub.branches["main"]
    layers = described(hub, desk, commit)
    name = next(file.digest for one in layers for file in one.files if file.path == "big.bin")[7:]
    (desk.cache / "weights/files").mkdir(parents=True)
    (desk.cache / f"weights/files/{name}.part").write_bytes(half)
    assert shown(fetch(layers, files_at(hub, commit), desk)) == CONTENT
    ranges = [asked for path, asked in fetched(hub) if path == "big.bin"]
    assert ranges[0] == ("bytes=1000-" if half == b"x" * 1000 else ranges[0])
    if half == CONTENT["big.bin"][:1_000_000]:
        assert ranges == ["bytes=1000000-"]


def test_a_damaged_file_never_becomes_the_model(hub: Hub, desk: Desk) -> None:
    commit = hub.branches["main"]
    layers = described(hub, desk, commit)
    hub.damaged = True
    with pytest.raises(StageFailed, match=r"big\.bin is not sha256:"):
        fetch(layers, files_at(hub, commit), desk)
    hub.damaged = False
    desk.clear()
    assert shown(fetch(layers, files_at(hub, commit), desk)) == CONTENT


def test_a_model_that_does_not_fit_is_refused_before_it_is_fetched(hub: Hub, desk: Desk) -> None:
    commit = hub.branches["main"]
    (layer, *_) = described(hub, desk, commit)
    huge = layer.files[0].model_copy(update={"size_bytes": 1 << 60})
    with pytest.raises(DiskFull, match=f"needs {1 << 60} bytes"):
        fetch((layer.model_copy(update={"files": (huge,)}),), files_at(hub, commit), desk)
    assert fetched(hub) == []


def test_local_weights_stay_where_they_are(tmp_path: Path, desk: Desk) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/w.bin").write_bytes(b"w")
    files = FolderFiles(folder=tmp_path / "model")
    layers = Model(files=files, path="/models/digits").layers(desk)
    assert fetch(layers, files, desk) == layers
    assert fetch(layers, None, desk) == layers
    assert not (desk.cache / "weights").exists()
