from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.model import Problem
from stages.models.file import FileSource
from stages.models.interface import ModelSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "weights.bin").write_bytes(b"weights")
    return tmp_path


def test_a_folder_is_one_layer(folder: Path) -> None:
    source: ModelSource = FileSource(folder=folder, path="/models/digits")
    (layer,) = source.layers(Desk(folder=folder, cache=folder))
    assert [file.path for file in layer.files] == ["weights.bin"]
    assert layer.path == "/models/digits"
    assert source.identity() == layer.descriptor.digest
    assert source.local_folder == folder


def test_the_layer_knows_its_folder_wherever_the_run_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    (layer,) = FileSource(folder=Path(folder.name), path="/m").layers(Desk(folder=folder, cache=folder))
    assert layer.source == folder.resolve()


def test_the_check_counts_the_files(folder: Path) -> None:
    (check,) = FileSource(folder=folder, path="/models/digits").check()
    assert check.passed
    assert check.found == "1 file, 0.0 MB, for /models/digits"


@pytest.mark.parametrize(("name", "path"), [("missing", "/models/digits"), (".", "models/digits")])
def test_what_cannot_become_a_layer_is_a_problem_of_the_configuration(
    folder: Path, name: str, path: str
) -> None:
    (check,) = FileSource(folder=folder / name, path=path).check()
    assert check.problem is Problem.CONFIGURATION
    assert check.advice
