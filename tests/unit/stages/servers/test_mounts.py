"""What is mounted shows the image's user exactly what the model layer will."""

import csv
from pathlib import Path

import pytest

from pipeline.errors import StageFailed
from pipeline.model import ModelLayer
from stages.servers.mounts import Mount, model_mounts
from tests.support.weights import describe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of two files, one of them in a folder."""
    model = tmp_path / "model"
    (model / "part").mkdir(parents=True)
    for name in ("weights.bin", "part/config.json"):
        (model / name).write_text(name)
        (model / name).chmod(0o644)
    for place in (model, model / "part"):
        place.chmod(0o755)
    return model


def mounts(*layers: ModelLayer, at: Path) -> dict[str, Path]:
    staging = at / "staging"
    return {mount.target: mount.source for mount in model_mounts(layers, staging)}


def test_a_folder_that_is_like_the_layer_is_mounted_itself(folder: Path, tmp_path: Path) -> None:
    assert mounts(describe(folder, "/models/m"), at=tmp_path) == {"/models/m": folder}


@pytest.mark.parametrize("name", [".git", ".pipeline"])
def test_what_is_left_out_of_the_layer_is_not_shown(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).mkdir()
    (folder / name / "config").touch()
    assert mounts(describe(folder, "/models/m"), at=tmp_path).keys() == {
        "/models/m/weights.bin",
        "/models/m/part/config.json",
    }


def test_a_link_that_the_layer_leaves_out_is_not_shown(folder: Path, tmp_path: Path) -> None:
    layer = describe(folder, "/models/m")
    (folder / "latest").symlink_to("part")
    assert mounts(layer, at=tmp_path).keys() == {"/models/m/weights.bin", "/models/m/part/config.json"}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o000], ids=oct)
def test_a_file_of_another_mode_is_mounted_from_a_copy(folder: Path, tmp_path: Path, mode: int) -> None:
    layer = describe(folder, "/models/m")
    (folder / "weights.bin").chmod(mode)
    found = mounts(layer, at=tmp_path)
    assert found["/models/m/part/config.json"] == folder / "part/config.json"
    copy = found["/models/m/weights.bin"]
    assert copy.is_relative_to(tmp_path / "staging")
    assert copy.read_text() == "weights.bin"
    assert copy.stat().st_mode & 0o777 == 0o644
    assert copy.stat().st_nlink == 1
    assert (folder / "weights.bin").stat().st_mode & 0o777 == mode  # the user's own file is left alone


def test_a_folder_that_others_may_not_enter_is_not_mounted_itself(folder: Path, tmp_path: Path) -> None:
    (folder / "part").chmod(0o700)
    assert mounts(describe(folder, "/models/m"), at=tmp_path) == {
        "/models/m/weights.bin": folder / "weights.bin",
        "/models/m/part/config.json": folder / "part/config.json",
    }


def test_a_file_that_is_in_no_layer_is_not_shown(folder: Path, tmp_path: Path) -> None:
    layer = describe(folder, "/models/m")
    (folder / "notes.txt").write_text("later")
    assert set(mounts(layer, at=tmp_path)) == {"/models/m/weights.bin", "/models/m/part/config.json"}


def one_each(layer: ModelLayer) -> list[ModelLayer]:
    return [layer.model_copy(update={"files": (file,)}) for file in layer.files]


def test_a_folder_whose_files_are_in_several_layers_is_mounted_itself(folder: Path, tmp_path: Path) -> None:
    layers = one_each(describe(folder, "/models/m"))
    assert mounts(*layers, at=tmp_path) == {"/models/m": folder}
    assert mounts(layers[0], at=tmp_path) == {"/models/m/part/config.json": folder / "part/config.json"}


def test_layers_of_two_folders_are_mounted_beside_each_other(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "adapter.bin").write_text("adapter")
    layers = (*one_each(describe(folder, "/models/m")), describe(other, "/models/m/adapter"))
    assert set(mounts(*layers, at=tmp_path)) == {
        "/models/m/weights.bin",
        "/models/m/part/config.json",
        "/models/m/adapter/adapter.bin",
    }


def test_weights_that_are_elsewhere_cannot_be_mounted(folder: Path, tmp_path: Path) -> None:
    layer = describe(folder, "/models/m").model_copy(update={"source": "s3://bucket/digits"})
    with pytest.raises(StageFailed, match="the model is in s3://bucket/digits"):
        mounts(layer, at=tmp_path)


def test_a_folder_that_only_differs_in_write_permission_is_mounted_itself(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "weights.bin").chmod(0o664)
    folder.chmod(0o775)
    assert mounts(describe(folder, "/models/m"), at=tmp_path) == {"/models/m": folder}


def test_a_file_that_changed_its_size_since_the_build_is_refused(folder: Path, tmp_path: Path) -> None:
    layer = describe(folder, "/models/m")
    (folder / "weights.bin").write_text("other weights")
    with pytest.raises(StageFailed, match="has 13 bytes; the image was built from 11"):
        mounts(layer, at=tmp_path)
    (folder / "weights.bin").unlink()
    with pytest.raises(StageFailed, match="is gone"):
        mounts(layer, at=tmp_path)


def test_a_comma_in_a_path_does_no_harm(tmp_path: Path) -> None:
    (row,) = csv.reader([Mount(tmp_path / 'a,b"c', "/m").argument()])
    assert row == ["type=bind", f'source={tmp_path}/a,b"c', "target=/m", "readonly"]
