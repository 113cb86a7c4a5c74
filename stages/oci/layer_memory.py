"""Remembers what layers of earlier builds became, as long as one of those images is still there.

The bytes are those of the images: a second name of the same file each, so they take no room of their own.
"""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pipeline.model import Descriptor, Value
from pipeline.reference import Digest
from stages.oci.layout import Layout


class Taken(Value):
    """A layer of the final image, and the digest of its tar."""

    descriptor: Descriptor
    diff_id: Digest


@dataclass(frozen=True, slots=True)
class LayerMemory:
    """A folder on the file system of the images; None: nothing is remembered."""

    folder: Path | None

    def find(self, question: str, target: Layout) -> Taken | None:
        """Return what was remembered under these words, and share its bytes with `target`."""
        if self.folder is None or (taken := _read(self._note(question, self.folder))) is None:
            return None
        blobs = _blobs(self.folder)
        try:
            if blobs.blob_path(taken.descriptor.digest).stat().st_size != taken.descriptor.size_bytes:
                return None
            target.take(blobs, taken.descriptor.digest)
        except OSError:  # another run has just forgotten it
            return None
        return taken

    def keep(self, question: str, taken: Taken, target: Layout) -> None:
        """Remember a layer whose bytes are in `target`."""
        if self.folder is None:
            return
        with contextlib.suppress(OSError):  # it will be made again, nothing worse
            blobs = Layout.create(_blobs(self.folder).path)
            # one of the same bytes may be an older image's, and would be forgotten with that
            blobs.blob_path(taken.descriptor.digest).unlink(missing_ok=True)
            blobs.take(target, taken.descriptor.digest)
            self._note(question, self.folder).write_text(taken.model_dump_json(), encoding="utf-8")

    def forget_removed(self) -> None:
        """Forget the layers that no image has any more."""
        if self.folder is None:
            return
        for blob in self.folder.glob("layers/blobs/sha256/*"):  # also one whose note was never written
            if _names(blob) <= 1:
                blob.unlink(missing_ok=True)
        for note in self.folder.glob("*.json"):
            taken = _read(note)
            if taken is None or not _blobs(self.folder).has(taken.descriptor.digest):
                note.unlink(missing_ok=True)

    def _note(self, question: str, folder: Path) -> Path:
        return folder / f"{hashlib.sha256(question.encode()).hexdigest()}.json"


def _blobs(folder: Path) -> Layout:
    return Layout(folder / "layers")


def _read(note: Path) -> Taken | None:
    try:
        return Taken.model_validate_json(note.read_bytes())
    except (OSError, ValidationError):
        return None


def _names(blob: Path) -> int:
    try:
        return blob.stat().st_nlink
    except OSError:
        return 0
