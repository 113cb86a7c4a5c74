import shutil
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.desk import Desk
from pipeline.errors import DiskFull, StageFailed
from pipeline.model import ModelLayer
from pipeline.reference import Digest, Repository
from stages.models.fetch import fetch
from stages.models.file import FolderFiles
from stages.models.huggingface import HuggingFaceFiles
from stages.models.model import Model
from stages.models.registry_layers import RegistryLayers
from stages.oci.model_layer import stream
from stages.servers.mounts import model_mounts
from tests.support.cutting_relay import cutting_relay
from tests.support.hub import Hub, running_hub
from tests.support.loopback import MemoryRegistry, Received, Reply, Server, refused, serving
from tests.support.registry import free_port

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


def test_two_runs_may_show_the_same_files_at_the_same_moment(hub: Hub, desk: Desk) -> None:
    content = {f"{number}.bin": f"{number}".encode() for number in range(300)}
    commit = hub.commit(content)
    layers = described(hub, desk, commit)
    fetch(layers, files_at(hub, commit), desk)  # it stays held, as by a run that goes on
    desks = [Desk(folder=desk.folder, cache=desk.cache) for _ in range(4)]
    begin = threading.Barrier(len(desks))

    def show(one: Desk) -> bool:
        begin.wait()
        return shown(fetch(layers, files_at(hub, commit), one)) == content

    for _ in range(5):
        shutil.rmtree(desk.cache / "weights/folders")
        with ThreadPoolExecutor(len(desks)) as runs:
            assert all(runs.map(show, desks))
    for one in desks:
        one.clear()


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
    with pytest.raises(DiskFull, match=r"needs 1152921504\.6 GB"):
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


# --- from a registry -----------------------------------------------------------------------------------

TWO_LAYERS = {**CONTENT, "own.bin": bytes(range(255)) * 36_000}
NAME = "team/digits"


@pytest.fixture
def memory() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def server(memory: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with serving(memory) as running:
        yield running


@pytest.fixture
def layers(hub: Hub, desk: Desk, memory: MemoryRegistry) -> tuple[ModelLayer, ...]:
    """Two layers, both in the registry."""
    commit = hub.commit(TWO_LAYERS)
    layers = described(hub, desk, commit)
    assert len(layers) == 2
    for layer in layers:
        memory.blobs[NAME, layer.descriptor.digest] = b"".join(stream(layer, files_at(hub, commit)))
    hub.server.received.clear()
    return layers


def at(address: str, *names: str) -> RegistryLayers:
    return RegistryLayers(repositories=tuple(Repository(f"{address}/{name}") for name in names or (NAME,)))


def fetch_all(hub: Hub, layers: tuple[ModelLayer, ...], desk: Desk, near: RegistryLayers) -> None:
    assert shown(fetch(layers, files_at(hub, hub.branches["main"]), desk, near)) == TWO_LAYERS


def streams(server: Server) -> list[tuple[str, str | None]]:
    """Return which layers were read in the registry, in whole or from which byte on."""
    return [
        (request.path.rpartition("/")[2], request.headers.get("Range"))
        for request in server.received
        if request.method == "GET" and "/blobs/" in request.path
    ]


def log(desk: Desk) -> str:
    return (desk.folder / "weights.log").read_text()


def damage(memory: MemoryRegistry, digest: Digest) -> None:
    memory.blobs[NAME, digest] = memory.blobs[NAME, digest][:-20_000] + bytes(20_000)


def test_layers_that_a_registry_has_are_read_there(
    hub: Hub, desk: Desk, server: Server, layers: tuple[ModelLayer, ...]
) -> None:
    fetch_all(hub, layers, desk, at(server.address))
    assert fetched(hub) == []
    assert sorted(name for name, _ in streams(server)) == sorted(one.descriptor.digest for one in layers)
    assert log(desk).count(f"fetched from {server.address}/{NAME}") == 2
    assert not [path for path in desk.cache.rglob("*") if path.suffix in {".part", ".tar"}]
    desk.clear()
    server.received.clear()
    fetch_all(hub, layers, desk, at(server.address))
    assert server.received == []  # what is kept is nearer still


def test_a_layer_that_no_registry_has_comes_from_its_source(
    hub: Hub, desk: Desk, server: Server, memory: MemoryRegistry, layers: tuple[ModelLayer, ...]
) -> None:
    (only,) = (one for one in layers if one.files[0].path == "own.bin")
    del memory.blobs[NAME, only.descriptor.digest]
    fetch_all(hub, layers, desk, at(server.address, "team/none", NAME))
    assert fetched(hub) == [("own.bin", None)]
    assert "own.bin" not in log(desk)
    assert f"fetched from hf://{hub.repository}" in log(desk)


def test_half_a_file_goes_on_in_the_registry(
    hub: Hub, desk: Desk, server: Server, layers: tuple[ModelLayer, ...]
) -> None:
    (only,) = (one for one in layers if one.files[0].path == "own.bin")
    half = desk.cache / f"weights/files/{only.files[0].digest[7:]}.part"
    half.parent.mkdir(parents=True)
    half.write_bytes(TWO_LAYERS["own.bin"][:5_000_000])
    here = fetch((only,), files_at(hub, hub.branches["main"]), desk, at(server.address))
    assert shown(here) == {"own.bin": TWO_LAYERS["own.bin"]}
    ((_, asked),) = streams(server)
    assert asked is not None
    assert 5_000_000 < int(asked.removeprefix("bytes=").removesuffix("-")) < 5_010_000


def test_a_broken_answer_of_the_registry_goes_on_where_it_stopped(
    hub: Hub, desk: Desk, server: Server, layers: tuple[ModelLayer, ...]
) -> None:
    with cutting_relay(int(server.address.rpartition(":")[2])) as relay:
        relay.cuts = [2_000_000, 6_000_000]
        fetch_all(hub, layers, desk, at(f"127.0.0.1:{relay.port}"))
    assert relay.broken == 2
    assert len(streams(server)) == 4  # two layers, two breaks
    assert fetched(hub) == []


def test_a_file_that_a_registry_began_is_ended_by_the_source(
    hub: Hub, desk: Desk, server: Server, memory: MemoryRegistry, layers: tuple[ModelLayer, ...]
) -> None:
    (only,) = (one for one in layers if one.files[0].path == "own.bin")
    memory.before = lambda request: refused(403, "DENIED") if streams(server)[1:] else None
    with cutting_relay(int(server.address.rpartition(":")[2])) as relay:
        relay.cuts = [3_000_000]
        near = at(f"127.0.0.1:{relay.port}")
        here = fetch((only,), files_at(hub, hub.branches["main"]), desk, near)
    assert shown(here) == {"own.bin": TWO_LAYERS["own.bin"]}
    ((path, asked),) = fetched(hub)
    assert (path, asked is not None) == ("own.bin", True)
    assert "the rest of this layer is fetched from hf://" in log(desk)


def test_a_damaged_layer_is_left_for_the_source(
    hub: Hub, desk: Desk, server: Server, memory: MemoryRegistry, layers: tuple[ModelLayer, ...]
) -> None:
    damage(memory, next(one.descriptor.digest for one in layers if one.files[0].path == "own.bin"))
    fetch_all(hub, layers, desk, at(server.address))
    assert fetched(hub) == [("own.bin", None)]
    assert "own.bin is not sha256:" in log(desk)
    assert f"the rest of this layer is fetched from hf://{hub.repository}" in log(desk)


def test_a_registry_that_refuses_is_asked_once_and_left(
    hub: Hub, desk: Desk, server: Server, memory: MemoryRegistry, layers: tuple[ModelLayer, ...]
) -> None:
    def refuse(request: Received) -> Reply | None:
        return refused(403, "DENIED") if request.method == "HEAD" else None

    memory.before = refuse
    fetch_all(hub, layers, desk, at(server.address))
    assert sum(request.method == "HEAD" for request in server.received) == 1
    assert log(desk).count(f"no weights are looked for in {server.address}/{NAME}") == 1
    assert len(fetched(hub)) == len(TWO_LAYERS)


def test_a_registry_that_is_not_there_stops_nobody(
    hub: Hub, desk: Desk, layers: tuple[ModelLayer, ...]
) -> None:
    fetch_all(hub, layers, desk, at(f"127.0.0.1:{free_port()}"))
    assert "no weights are looked for" in log(desk)
    assert len(fetched(hub)) == len(TWO_LAYERS)
