import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.model import Problem
from pipeline.reference import Digest
from stages.models.file import TICK_NS, FolderFiles
from stages.models.model import Model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.bin").write_bytes(b"weights")
    return model


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def desk(tmp_path: Path, said: list[str]) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path / "cache", say=said.append)


@pytest.fixture
def model(folder: Path) -> Model:
    return Model(files=FolderFiles(folder=folder), path="/models/digits")


def test_the_layers_are_those_of_the_folder(model: Model, folder: Path, desk: Desk) -> None:
    (layer,) = model.layers(desk)
    (file,) = layer.files
    assert (layer.path, layer.source) == ("/models/digits", str(folder))
    assert (file.path, file.digest, file.identity) == ("weights.bin", Digest.of(b"weights"), "")


def digest(model: Model, desk: Desk) -> Digest:
    (layer,) = model.layers(desk)
    return layer.files[0].digest


def test_a_file_that_is_written_again_at_once_is_noticed(model: Model, folder: Path, desk: Desk) -> None:
    for number in range(20):
        content = f"weights {number:02d}".encode()
        (folder / "weights.bin").write_bytes(content)
        assert digest(model, desk) == Digest.of(content)


def test_a_file_that_rested_is_read_once_more_and_never_again(
    model: Model, folder: Path, desk: Desk, said: list[str]
) -> None:
    time.sleep(TICK_NS / 1e9 + 0.1)
    assert digest(model, desk) == Digest.of(b"weights")
    assert said
    said.clear()
    assert digest(model, desk) == Digest.of(b"weights")
    assert not said
    assert digest(replace(model, verify=True), desk) == Digest.of(b"weights")
    assert said
    (folder / "weights.bin").write_bytes(b"changed")
    assert digest(model, desk) == Digest.of(b"changed")


def test_the_check_counts_the_layers(model: Model, desk: Desk, said: list[str]) -> None:
    files, layers = model.check(desk)
    assert files.passed
    assert layers.subject == "model layers for /models/digits"
    assert layers.found == "1; 7 B are read and hashed first"
    assert not said  # nothing is read
    model.layers(desk)
    time.sleep(TICK_NS / 1e9 + 0.1)
    model.layers(desk)
    assert model.check(desk)[1].found == "1"


def test_without_files_the_check_says_only_that(model: Model, folder: Path, desk: Desk) -> None:
    (folder / "weights.bin").unlink()
    (check,) = model.check(desk)
    assert check.problem is Problem.CONFIGURATION


@pytest.mark.parametrize(("name", "path"), [("Weights.bin", "/models/m"), ("fine", "models/m")])
def test_what_cannot_become_a_layer_is_a_problem_of_the_configuration(
    model: Model, folder: Path, desk: Desk, name: str, path: str
) -> None:
    (folder / name).touch()
    _, check = replace(model, path=path).check(desk)
    assert check.problem is Problem.CONFIGURATION
    assert check.advice
