from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.model import Problem
from stages.models.file import FolderFiles
from stages.models.huggingface import HuggingFaceFiles
from stages.models.lock import Lock, read_lock
from stages.models.model import Model
from tests.support.hub import Hub, running_hub

CONTENT = {"big.bin": bytes(range(256)) * 40_000, "small.bin": b"12345", "part/config.json": b"{}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in CONTENT.items():
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_bytes(content)
    return tmp_path / "model"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path / "cache")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub(f"team/digits-{uuid4().hex[:8]}") as running:
        running.commit(CONTENT)
        monkeypatch.setenv("HF_ENDPOINT", running.server.url)
        yield running


def model(folder: Path, lock: Lock | None = None, *, verify: bool = False) -> Model:
    return Model(files=FolderFiles(folder=folder), path="/models/digits", lock=lock, verify=verify)


def remote_model(hub: Hub, revision: str, lock: Lock | None = None) -> Model:
    files = HuggingFaceFiles(repository=hub.repository, revision=revision)
    return Model(files=files, path="/models/digits", lock=lock)


def made(folder: Path, desk: Desk) -> Lock:
    return model(folder).locked("model", None, desk)


def read_paths(hub: Hub) -> list[str]:
    return [request.path for request in hub.server.received if "/api/" not in request.path]


def test_what_was_written_is_read_again(folder: Path, desk: Desk, tmp_path: Path) -> None:
    lock = made(folder, desk)
    path = tmp_path / "pipeline.lock"
    path.write_text(lock.text())
    assert read_lock(path) == lock
    assert {file.path: file.size_bytes for file in lock.files} == {
        name: len(content) for name, content in CONTENT.items()
    }


def test_the_same_model_gives_the_same_text(folder: Path, desk: Desk, tmp_path: Path) -> None:
    text = made(folder, desk).text()
    copied = tmp_path / "copy"
    folder.rename(copied)
    assert made(copied, desk).text() == text
    assert text.startswith("# ")
    assert "small.bin" in text


def test_no_file_is_no_lock(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "pipeline.lock") is None


@pytest.mark.parametrize("text", ["[", "version: 1", "version: 2\nsource: model", "source: {a: b}"])
def test_a_broken_lock_says_how_to_write_it_again(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pipeline.lock"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="is no lock") as caught:
        read_lock(path)
    assert "`pipeline lock`" in caught.value.advice


def test_the_locked_model_gives_the_same_layers(folder: Path, desk: Desk) -> None:
    lock = made(folder, desk)
    assert model(folder, lock).layers(desk) == model(folder).layers(desk)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "small.bin",
            b"54321",
            r"small\.bin is not the file of pipeline\.lock: locked is sha256:.* there is",
        ),
        ("small.bin", b"123456", r"small\.bin is locked with 5 bytes, there are 6"),
        ("small.bin", None, r"small\.bin is locked and not there"),
        ("new.bin", b"", r"new\.bin is there and not locked"),
    ],
)
def test_another_model_is_refused(
    folder: Path, desk: Desk, name: str, content: bytes | None, message: str
) -> None:
    lock = made(folder, desk)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        model(folder, lock).layers(desk)
    assert "`pipeline lock`" in caught.value.advice


def test_a_plan_sees_that_the_model_is_another(folder: Path, desk: Desk) -> None:
    lock = made(folder, desk)
    (folder / "new.bin").touch()
    problems = [check.problem for check in model(folder, lock).check(desk) if not check.passed]
    assert problems == [Problem.CONFIGURATION]


def test_a_lock_that_was_edited_is_found_out(folder: Path, desk: Desk) -> None:
    lock = made(folder, desk)
    wrong = lock.layers[0].model_copy(update={"digest": f"sha256:{'0' * 64}"})
    edited = lock.model_copy(update={"layers": (wrong, *lock.layers[1:])})
    with pytest.raises(ConfigurationError, match="no layer of these files is sha256:000"):
        model(folder, edited).layers(desk)
    with pytest.raises(ConfigurationError, match="no layer of these files is sha256:000"):
        model(folder, edited, verify=True).layers(desk)


def test_a_new_lock_tells_what_changed(folder: Path, desk: Desk) -> None:
    before = made(folder, desk)
    (folder / "small.bin").write_bytes(b"54321")
    (folder / "new.bin").write_bytes(bytes(2000))
    (folder / "part/config.json").unlink()
    after = made(folder, desk).model_copy(update={"revision": "v2", "source": "s3://models"})
    assert after.changes_since(before) == (
        "source: model -> s3://models",
        "revision: none -> v2",
        "new.bin: new, 2.0 kB",
        "part/config.json: removed",
        "small.bin: changed, 5 B",
    )
    assert after.changes_since(after) == ()


def test_other_settings_are_refused(folder: Path, desk: Desk) -> None:
    lock = made(folder, desk)
    lock.refuse_other_settings("model", "/models/digits")
    with pytest.raises(
        ConfigurationError, match=r"made for the source model, and the settings say s3://models"
    ):
        lock.refuse_other_settings("s3://models", "/models/digits")
    with pytest.raises(ConfigurationError, match=r"the path /models/digits, .* say /weights") as caught:
        lock.refuse_other_settings("model", "/weights")
    assert "`model.delivery`" in caught.value.advice


def test_locked_remote_weights_are_not_read(hub: Hub, desk: Desk, tmp_path: Path) -> None:
    before = remote_model(hub, "main")
    lock = before.locked("hf", before.files.name, desk)
    layers = before.layers(desk)
    hub.server.received.clear()
    elsewhere = Desk(folder=tmp_path, cache=tmp_path / "another machine")
    assert remote_model(hub, "main", lock).layers(elsewhere) == layers
    assert read_paths(hub) == []


def test_without_a_lock_remote_weights_are_read_and_the_plan_says_so(hub: Hub, desk: Desk) -> None:
    found = " ".join(check.found for check in remote_model(hub, "main").check(desk))
    assert "no pipeline.lock: all weights are read" in found
    remote_model(hub, "main").layers(desk)
    assert len([path for path in read_paths(hub) if path.startswith("/store/")]) == 1


def test_a_remote_file_that_changed_is_refused_without_reading_it(hub: Hub, desk: Desk) -> None:
    lock = remote_model(hub, "main").locked("hf", None, desk)
    commit = hub.commit({**CONTENT, "small.bin": b"54321"})
    hub.server.received.clear()
    with pytest.raises(ConfigurationError, match=r"small\.bin is locked as git:\w+, there is git:\w+"):
        remote_model(hub, commit, lock).layers(desk)
    assert read_paths(hub) == []
