import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.reference import Digest
from stages.oci import store
from stages.oci.store import KEPT_IMAGES, ImageStore

HOLD = """
import sys
from pathlib import Path
from stages.oci import store
store.hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def add(images: ImageStore, name: str, *, age_s: float = 0) -> Path:
    """Put an image into the store the way another, ended process would have left it."""
    place = images.path / Digest.of(name.encode()).encoded
    place.mkdir(parents=True)
    (place / "index.json").write_text(name)
    moment = place.stat().st_mtime - age_s
    os.utime(place, (moment, moment))
    return place


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def keep(images: ImageStore, name: str) -> Path:
    with images.workplace() as folder:
        layout = folder / "image"
        layout.mkdir()
        (layout / "index.json").write_text(name)
        return images.keep(layout, Digest.of(name.encode()))


def test_an_image_is_kept_under_its_digest(images: ImageStore) -> None:
    place = keep(images, "a")
    assert place == images.path / Digest.of(b"a").encoded
    assert (place / "index.json").read_text() == "a"
    assert keep(images, "a") == place
    assert {path.name for path in images.path.iterdir()} == {place.name, f"{place.name}.lock"}


def test_the_oldest_are_removed_but_none_in_use(images: ImageStore) -> None:
    unused = [add(images, f"old {number}", age_s=1000 + number) for number in range(4)]
    used = add(images, "old and in use", age_s=5000)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(used)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[4],
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        place = keep(images, "new")
        left = [path for path in images.path.iterdir() if path.is_dir()]
        assert set(left) == {place, unused[0], unused[1], used}
        other.communicate()
    images.prune()
    assert len([path for path in images.path.iterdir() if path.is_dir()]) == KEPT_IMAGES


def test_what_an_interrupted_build_left_is_removed_after_a_day(images: ImageStore) -> None:
    with images.workplace() as running:
        left = images.path / ".building-left"
        left.mkdir(parents=True)
        os.utime(left, (0, 0))
        keep(images, "a")
        assert running.is_dir()
    assert not left.exists()
    assert not running.exists()


def test_a_lock_ends_with_its_process(images: ImageStore) -> None:
    place = add(images, "a")
    command = [sys.executable, "-c", HOLD, str(place)]
    subprocess.run(command, input=b"", check=True, capture_output=True, cwd=Path(__file__).parents[4])
    store._remove_unused(place)
    assert not place.exists()
