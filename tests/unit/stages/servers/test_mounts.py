"""What is mounted shows the image's user exactly what the model layer will."""

import csv
from pathlib import Path

import pytest

from pipeline.errors import StageFailed
from pipeline.model import ModelLayer
from stages.oci.model_layer import describe
from stages.servers.mounts import Mount, model_mounts


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


def test_several_layers_of_one_folder_are_mounted_beside_each_other(folder: Path, tmp_path: Path) -> None:
    whole = describe(folder, "/models/m")
    layers = [whole.model_copy(update={"files": (file,)}) for file in whole.files]
    assert set(mounts(*layers, at=tmp_path)) == {"/models/m/weights.bin", "/models/m/part/config.json"}


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
