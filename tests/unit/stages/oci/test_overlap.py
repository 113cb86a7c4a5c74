import io
import tarfile
from pathlib import Path

import pytest

from pipeline.errors import StageFailed
from stages.oci.layout import Layout
from stages.oci.model_tar import LAYER_TYPE
from stages.oci.overlap import refuse_overlap

PATH = "/models/digits"


def folder(name: str, *, mode: int = 0o755, owner: int = 0) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
    return entry


def link(name: str, place: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, place
    return entry


def file(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def overlap(path: Path, *layers: list[tarfile.TarInfo]) -> None:
    layout = Layout.create(path)
    descriptors = []
    for entries in layers:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for entry in entries:
                tar.addfile(entry)
        descriptors.append(layout.write(buffer.getvalue(), f"{LAYER_TYPE}+gzip"))
    refuse_overlap(layout, descriptors, PATH)


@pytest.mark.parametrize(
    "layers",
    [
        [[file("app.py"), folder("models")]],
        [[folder("./models"), folder("./models/digits", owner=1000)]],
        [[file("models/digits-2"), file("models/other/weights.bin")]],
        [[file("models/digits/old.bin")], [file("models/digits/.wh.old.bin")]],
        [[file("models/digits/old.bin")], [file("models/digits/.wh..wh..opq")]],
        [[file("models/digits/old.bin")], [file(".wh.models")]],
        [[link("models", "data")], [file(".wh.models")], [folder("models")]],
        [[folder("models", owner=1000)], [folder("models")]],
    ],
)
def test_room_for_the_model(tmp_path: Path, layers: list[list[tarfile.TarInfo]]) -> None:
    overlap(tmp_path, *layers)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([[file("models/digits/old.bin")]], "already has /models/digits/old.bin"),
        ([[file("./models/digits/a/b")]], "already has /models/digits/a/b"),
        ([[file("models/digits")]], "already has /models/digits,"),
        ([[link("models/digits", "v1")]], "already has /models/digits,"),
        ([[link("models", "data")]], "/models in the image is a link to data"),
        ([[file("models")]], "/models in the image is not a folder"),
        ([[folder("models", owner=1000)]], "/models in the image belongs to 1000:1000 with mode drwxr-xr-x"),
        ([[folder("models", mode=0o1777)]], "/models in the image belongs to 0:0 with mode drwxrwxrwt"),
        ([[file(".wh.models")], [file("models/digits/new.bin")]], "already has /models/digits/new.bin"),
        ([[file("models/digits/x")], [file("models/digits/.wh.y")]], "already has /models/digits/x"),
    ],
)
def test_what_the_model_would_hide_or_change_is_named(
    tmp_path: Path, layers: list[list[tarfile.TarInfo]], message: str
) -> None:
    with pytest.raises(StageFailed) as caught:
        overlap(tmp_path, *layers)
    assert message in caught.value.message


def test_a_broken_layer_is_named(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path)
    broken = layout.write(b"\x1f\x8b broken", f"{LAYER_TYPE}+gzip")
    with pytest.raises(StageFailed, match=f"{broken.digest.short} cannot be read"):
        refuse_overlap(layout, [broken], PATH)
