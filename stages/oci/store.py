"""Where built images lie between runs: one layout for each digest, none removed while in use."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.model import Image
from pipeline.reference import Digest
from stages.oci.layout import Layout

KEPT_IMAGES = 3
ABANDONED_S = 24 * 3600.0
_WORK = ".building-"


@dataclass(frozen=True, slots=True)
class ImageStore:
    """A folder of OCI image layouts, named by the digests of their images."""

    path: Path

    @contextlib.contextmanager
    def workplace(self) -> Iterator[Path]:
        """Lend a folder beside the images, on the same file system, for the time of a build."""
        self.path.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_WORK, dir=self.path))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, layout: Path, digest: Digest) -> Path:
        """Move a finished layout to its place, where this process uses it; return the place."""
        place = self.path / digest.encoded
        hold(place)
        with contextlib.suppress(FileNotFoundError):
            place.rename(layout.with_name("replaced"))
        layout.rename(place)
        os.utime(place)
        self.prune()
        return place

    def prune(self) -> None:
        """Remove all but the last few images, and what interrupted builds left behind a day ago."""
        found = [path for path in self.path.iterdir() if path.is_dir()]
        images = sorted((path for path in found if not path.name.startswith(_WORK)), key=_age_s)
        work = [path for path in found if path.name.startswith(_WORK) and _age_s(path) > ABANDONED_S]
        for path in (*images[KEPT_IMAGES:], *work):
            _remove_unused(path)


def hold(layout: Path) -> None:
    """Keep a layout from being removed by another run, until this process ends."""
    # the kernel lets go of the lock when the process is gone, however it ends
    fcntl.flock(_open_lock(layout), fcntl.LOCK_SH)


def common_name(digest: Digest, other: Digest | None) -> Digest:
    """Return under which digest a layout is kept: its image's, or one that stands for both images in it."""
    return digest if other is None else Digest.of(f"{digest}\n{other}".encode())


def is_whole(image: Image) -> bool:
    """Tell whether all of an image but its weights is in its layout."""
    layout = Layout(image.layout)
    blobs = [blob for one in image.platforms for blob in (one.manifest, one.config, *one.application_layers)]
    expected = {layout.blob_path(blob.digest): blob.size_bytes for blob in blobs}
    return layout.has(image.digest) and all(_size(path) == size for path, size in expected.items())


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _remove_unused(layout: Path) -> None:
    number = _open_lock(layout)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(layout, ignore_errors=True)
        _lock_path(layout).unlink(missing_ok=True)
    finally:
        os.close(number)


def _open_lock(layout: Path) -> int:
    return os.open(_lock_path(layout), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _lock_path(layout: Path) -> Path:
    return layout.with_name(f"{layout.name}.lock")


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime
