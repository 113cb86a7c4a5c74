from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from stages.models import recognise
from stages.models.file import FolderFiles
from stages.models.huggingface import HuggingFaceFiles
from stages.models.interface import Files
from stages.models.mlflow import MlflowFiles
from stages.models.object_store import ObjectStoreFiles
from stages.models.patterns import Selected

ROOT = Path("/project")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("model", FolderFiles(folder=ROOT / "model")),
        ("../weights/v1", FolderFiles(folder=ROOT / "../weights/v1")),
        ("/data/weights", FolderFiles(folder=Path("/data/weights"))),
        ("Models:old", FolderFiles(folder=ROOT / "Models:old")),
        ("s3://models/digits/1/", ObjectStoreFiles(scheme="s3", bucket="models", prefix="digits/1")),
        ("s3://models", ObjectStoreFiles(scheme="s3", bucket="models", prefix="")),
        ("gs://models/digits", ObjectStoreFiles(scheme="gs", bucket="models", prefix="digits")),
        ("az://models/digits", ObjectStoreFiles(scheme="az", bucket="models", prefix="digits")),
        (
            "https://team.blob.core.windows.net/models/digits%201/",
            ObjectStoreFiles(scheme="az", bucket="models", prefix="digits 1", account="team"),
        ),
        ("models:/digits/3", MlflowFiles(kind="models", subject="digits", revision="3")),
        ("models:/digits@champion", MlflowFiles(kind="models", subject="digits", revision="@champion")),
        ("models:/digits", MlflowFiles(kind="models", subject="digits", revision="latest")),
        ("runs:/0a1b/model", MlflowFiles(kind="runs", subject="0a1b", folder="model")),
        ("runs:/0a1b", MlflowFiles(kind="runs", subject="0a1b")),
        ("hf://team/digits", HuggingFaceFiles(repository="team/digits")),
        ("hf://team/digits@v1", HuggingFaceFiles(repository="team/digits", revision="v1")),
    ],
)
def test_a_source_is_known_by_its_form(source: str, files: Files) -> None:
    assert recognise(source, ROOT) == files


def test_a_revision_may_stand_beside_the_source() -> None:
    assert recognise("hf://team/digits", ROOT, COMMIT) == recognise(f"hf://team/digits@{COMMIT}", ROOT)
    assert recognise("models:/digits", ROOT, "3") == recognise("models:/digits/3", ROOT)
    assert recognise("models:/digits", ROOT, "champion") == recognise("models:/digits@champion", ROOT)
    assert recognise("hf://team/digits@v1", ROOT, "v1") == recognise("hf://team/digits@v1", ROOT)


@pytest.mark.parametrize(
    ("source", "revision", "message"),
    [
        ("ftp://host/model", None, "is no source"),
        ("s3:///digits", None, "is no source"),
        ("hf://digits", None, "is no source"),
        ("https://example.com/model", None, "is no source"),
        ("hf://team/digits@v1", "v2", "says 'v1' and `model.revision` says 'v2'"),
        ("s3://models/digits", "v2", "has no revisions"),
        ("model", "v2", "has no revisions"),
        ("runs:/0a1b/model", "v2", "has no revisions"),
        ("models:/digits/Production", None, "is no source"),
        ("models:/digits/3", "4", "says '3' and `model.revision` says '4'"),
    ],
)
def test_what_means_nothing_is_refused(source: str, revision: str | None, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        recognise(source, ROOT, revision)


def test_a_signature_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        recognise("https://team.blob.core.windows.net/models/digits?sig=SECRET", ROOT)
    assert "SECRET" not in caught.value.message + caught.value.advice


@pytest.fixture
def folder(tmp_path: Path) -> FolderFiles:
    for name in ("model.bin", "notes.md", "onnx/model.onnx", "onnx/deep/model.bin"):
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_text(name)
    return FolderFiles(folder=tmp_path / "model")


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        (("*.bin",), (), {"model.bin", "onnx/deep/model.bin"}),
        (("onnx/",), (), {"onnx/model.onnx", "onnx/deep/model.bin"}),
        ((), ("*.md", "onnx/deep/"), {"model.bin", "onnx/model.onnx"}),
        (("*.bin", "*.md"), ("onnx/*",), {"model.bin", "notes.md"}),
        (("model.bin",), (), {"model.bin"}),
    ],
)
def test_patterns_choose_files(
    folder: FolderFiles, tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], left: set[str]
) -> None:
    selected = Selected(files=folder, include=include, exclude=exclude)
    found = selected.list(Desk(folder=tmp_path, cache=tmp_path))
    assert {file.path for file in found} == left
    assert {b"".join(selected.read(file)).decode() for file in found} == left


@pytest.mark.parametrize(
    ("include", "exclude", "message"),
    [(("*.bin", "*.safetensors"), (), "'\\*.safetensors' fits no file"), ((), ("*",), "leave no file")],
)
def test_patterns_that_miss_are_refused(
    folder: FolderFiles, tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        Selected(files=folder, include=include, exclude=exclude).list(Desk(folder=tmp_path, cache=tmp_path))
    assert "model.bin" in caught.value.advice
