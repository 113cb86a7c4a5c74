import gzip
import io
import tarfile
from pathlib import Path, PurePosixPath

import pytest
import zstandard

from pipeline.errors import StageFailed
from pipeline.model import Descriptor
from stages.oci.layer_facts import Entry, KnownFacts, LayerFacts
from stages.oci.layout import Layout
from stages.oci.model_tar import LAYER_TYPE

PLACE = PurePosixPath("/models/digits")


def folder(name: str, *, mode: int = 0o755, owner: int = 0) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
    return entry


def link(name: str, place: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, place
    return entry


def tar(*entries: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry in entries:
            archive.addfile(entry)
    return buffer.getvalue()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "layout")


def write(layout: Layout, *entries: tarfile.TarInfo) -> Descriptor:
    return layout.write(gzip.compress(tar(*entries)), f"{LAYER_TYPE}+gzip")


def facts(layout: Layout, *entries: tarfile.TarInfo) -> LayerFacts:
    return KnownFacts(None).of(layout, write(layout, *entries), PLACE)


def test_only_what_is_on_the_way_at_the_place_or_below_it_counts(layout: Layout) -> None:
    names = ["app.py", "models/digits-2", "models/other/x", "models/digits/a/b", "./models/digits/c"]
    found = facts(layout, *map(tarfile.TarInfo, names), folder("./models", mode=0o2750, owner=7))
    assert found.entries.keys() == {"models", "models/digits/a/b", "models/digits/c"}
    assert found.entries["models"] == Entry(kind="folder", owner=7, group=7, mode=0o2750)
    assert found.removed == ()


def test_a_link_tells_where_it_leads(layout: Layout) -> None:
    entry = facts(layout, link("models", "/data")).entries["models"]
    assert (entry.kind, entry.target) == ("link", "/data")


@pytest.mark.parametrize(
    ("whiteout", "removed"),
    [
        (".wh.models", ("models",)),
        ("./models/.wh.digits", ("models/digits",)),
        ("models/digits/.wh.a", ("models/digits/a",)),
        (".wh..wh..opq", ("/",)),
        ("models/.wh..wh..opq", ("models/",)),
        ("models/digits/a/.wh..wh..opq", ("models/digits/a/",)),
        ("models/.wh.digits-2", ()),
        ("models/other/.wh..wh..opq", ()),
        (".wh.app", ()),
        (".wh..wh.plnk", ()),
    ],
)
def test_whiteouts_that_concern_the_place(layout: Layout, whiteout: str, removed: tuple[str, ...]) -> None:
    assert facts(layout, tarfile.TarInfo(whiteout)).removed == removed


def test_a_layer_is_read_however_it_is_packed(layout: Layout) -> None:
    content = tar(folder("models", owner=1000))
    half = len(content) // 2
    zstd = zstandard.ZstdCompressor()
    written = [
        layout.write(content, LAYER_TYPE),
        layout.write(gzip.compress(content), f"{LAYER_TYPE}+gzip"),
        layout.write(zstd.compress(content[:half]) + zstd.compress(content[half:]), f"{LAYER_TYPE}+zstd"),
    ]
    assert [KnownFacts(None).of(layout, one, PLACE).entries["models"].owner for one in written] == [1000] * 3


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_broken_layer_is_named(layout: Layout, kind: str) -> None:
    broken = layout.write(b"\x1f\x8b broken", f"{LAYER_TYPE}+{kind}")
    with pytest.raises(StageFailed, match=f"{broken.digest.short} cannot be read"):
        KnownFacts(None).of(layout, broken, PLACE)


def test_a_layer_is_read_once_for_a_place(layout: Layout, tmp_path: Path) -> None:
    layer = write(layout, folder("models"))
    known = KnownFacts(tmp_path / "cache" / "facts.json")
    found = known.of(layout, layer, PLACE)
    known.save()
    layout.blob_path(layer.digest).unlink()
    assert KnownFacts(tmp_path / "cache" / "facts.json").of(layout, layer, PLACE) == found
    with pytest.raises(StageFailed):
        KnownFacts(tmp_path / "cache" / "facts.json").of(layout, layer, PurePosixPath("/elsewhere"))


def test_what_others_learnt_meanwhile_is_kept(layout: Layout, tmp_path: Path) -> None:
    layers = [write(layout, folder("models", owner=number)) for number in (1, 2)]
    both = [KnownFacts(tmp_path / "facts.json") for _ in layers]
    for known, layer in zip(both, layers, strict=True):
        known.of(layout, layer, PLACE)
        known.save()
    for layer in layers:
        layout.blob_path(layer.digest).unlink()
        assert KnownFacts(tmp_path / "facts.json").of(layout, layer, PLACE).entries


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"1 sha256:0 /models": {"entries": 3}}'])
def test_a_damaged_file_is_forgotten(layout: Layout, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "facts.json").write_bytes(content)
    layer = write(layout, folder("models"))
    known = KnownFacts(tmp_path / "facts.json")
    assert known.of(layout, layer, PLACE).entries
    known.save()
    layout.blob_path(layer.digest).unlink()
    assert KnownFacts(tmp_path / "facts.json").of(layout, layer, PLACE).entries
