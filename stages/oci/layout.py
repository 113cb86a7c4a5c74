"""An OCI image layout on disk: blobs named by their digest, and an index that says where to begin.

Source: OCI image specification 1.1, image-layout.md.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import StageFailed
from pipeline.model import Descriptor
from pipeline.reference import Digest

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
REFERENCE_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"
"""Where containerd looks for the whole name; `docker load` gives an image no other."""
CHUNK_BYTES = 1024 * 1024


class _Entry(BaseModel):
    """A descriptor as it stands in JSON; keys that only others read are left alone."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    media_type: str = Field(alias="mediaType")
    digest: Digest
    size: int = Field(ge=0)
    annotations: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Root:
    """An image that the layout's index names; `reference` is the tag, `name` the whole name, or None."""

    descriptor: Descriptor
    reference: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of an OCI image layout."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> "Layout":
        """Make an empty layout at `path`; one that is there already is kept as it is."""
        layout = cls(path)
        layout._blobs.mkdir(parents=True, exist_ok=True)
        if not layout._index.exists():
            layout._write_index(())
        _replace(path / "oci-layout", to_json({"imageLayoutVersion": "1.0.0"}))
        return layout

    @classmethod
    def open(cls, path: Path) -> "Layout":
        """Return the layout at `path`.

        Raises:
            StageFailed: there is none.
        """
        if not (path / "oci-layout").is_file() or not (path / "index.json").is_file():
            raise StageFailed(f"{path} is no OCI image layout", advice="Run the build stage again.")
        return cls(path)

    def blob_path(self, digest: Digest) -> Path:
        """Return where the blob of this digest lies, or would lie."""
        return self._blobs / digest.encoded

    def has(self, digest: Digest) -> bool:
        """Tell whether the blob is in the layout."""
        return self.blob_path(digest).is_file()

    def read(self, digest: Digest) -> bytes:
        """Return the bytes of a small blob, such as a manifest, once they are found to fit the digest.

        Raises:
            StageFailed: the blob is missing, or is not what its name says.
        """
        try:
            content = self.blob_path(digest).read_bytes()
        except OSError as error:
            raise StageFailed(
                f"{digest} is missing in {self.path}: {error.strerror}", advice="Run the build stage again."
            ) from error
        if Digest.of(content) != digest:
            raise StageFailed(
                f"{self.blob_path(digest)} was changed: its content does not fit its digest",
                advice=f"Remove {self.path} and run the build stage again.",
            )
        return content

    def read_json(self, digest: Digest) -> dict[str, Any]:
        """Return a JSON blob: a manifest, an index or a configuration."""
        document: dict[str, Any] = json.loads(self.read(digest))
        return document

    def write(self, content: bytes | Iterable[bytes], media_type: str) -> Descriptor:
        """Store bytes, or pieces of them, under their digest; the blob appears whole or not at all."""
        chunks = (content,) if isinstance(content, bytes) else content
        digest, size_bytes = hashlib.sha256(), 0
        with _Temporary(self._blobs) as file:
            for chunk in chunks:
                digest.update(chunk)
                size_bytes += len(chunk)
                file.stream.write(chunk)
            name = Digest(f"sha256:{digest.hexdigest()}")
            file.keep_as(self.blob_path(name))
        return Descriptor(media_type=media_type, digest=name, size_bytes=size_bytes)

    def take(self, other: "Layout", digest: Digest) -> None:
        """Share a blob of another layout; where the file system can, without a second copy of its bytes."""
        if self.has(digest):
            return
        try:
            os.link(other.blob_path(digest), self.blob_path(digest))
        except FileNotFoundError:
            raise
        except OSError:  # no hard links here, between the two, or to another user's file
            with other.blob_path(digest).open("rb") as file:
                self.write(read_chunks(file), "")

    def roots(self) -> tuple[Root, ...]:
        """Return the images that the index names, in its order.

        Raises:
            StageFailed: the index cannot be read.
        """
        try:
            entries = json.loads(self._index.read_bytes())["manifests"]
            return tuple(_root(_Entry.model_validate(entry)) for entry in entries)
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            raise StageFailed(
                f"cannot read {self._index}: {error}", advice="Run the build stage again."
            ) from error

    def put_root(
        self, descriptor: Descriptor, reference: str | None = None, *, name: str | None = None
    ) -> None:
        """Name an image in the index, beside its other names; a reference names one image at a time."""
        new = Root(descriptor, reference, name)
        self._write_index((*(root for root in self.roots() if not _gives_way(root, new)), new))

    @property
    def _blobs(self) -> Path:
        return self.path / "blobs" / "sha256"

    @property
    def _index(self) -> Path:
        return self.path / "index.json"

    def _write_index(self, roots: tuple[Root, ...]) -> None:
        manifests = [_document(root) for root in roots]
        _replace(self._index, to_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}))


def to_json(document: object) -> bytes:
    """Return JSON that is the same bytes for the same content: sorted keys, no spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def to_document(descriptor: Descriptor) -> dict[str, Any]:
    """Return a descriptor with the keys of the specification."""
    return {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size_bytes,
    }


def to_descriptor(document: object) -> Descriptor:
    """Return the descriptor that a document of the specification describes.

    Raises:
        pydantic.ValidationError: it is none.
    """
    return _root(_Entry.model_validate(document)).descriptor


def read_chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the rest of a stream in pieces of a megabyte."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _gives_way(root: Root, new: Root) -> bool:
    if root.reference is None:
        return root.descriptor.digest == new.descriptor.digest
    return root.reference == new.reference


def _document(root: Root) -> dict[str, Any]:
    document = to_document(root.descriptor)
    names = {REFERENCE_NAME: root.reference, IMAGE_NAME: root.name}
    if annotations := {key: value for key, value in names.items() if value is not None}:
        document["annotations"] = annotations
    return document


def _root(entry: _Entry) -> Root:
    descriptor = Descriptor(media_type=entry.media_type, digest=entry.digest, size_bytes=entry.size)
    return Root(descriptor, entry.annotations.get(REFERENCE_NAME), entry.annotations.get(IMAGE_NAME))


def _replace(path: Path, content: bytes) -> None:
    with _Temporary(path.parent) as file:
        file.stream.write(content)
        file.keep_as(path)


class _Temporary:
    """A new file that gets its name at the end, or disappears."""

    def __init__(self, folder: Path) -> None:
        number, name = tempfile.mkstemp(dir=folder, prefix=".incomplete-")
        self._path: Path | None = Path(name)
        self.stream = os.fdopen(number, "wb")

    def __enter__(self) -> "_Temporary":
        return self

    def keep_as(self, path: Path) -> None:
        """Close the file and give it its name."""
        assert self._path is not None  # noqa: S101 - it is kept once
        self.stream.close()
        self._path.chmod(0o644)  # mkstemp makes it private, and an image layout is read by other users' tools
        self._path.replace(path)
        self._path = None

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
