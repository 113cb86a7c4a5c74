"""Weights in an object store: one library, obstore, reads all three.

Amazon S3 (and what speaks its protocol), Google Cloud Storage, Azure Blob Storage.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from stages.models.checks import Remote
from stages.models.interface import SourceFile
from stages.models.object_store_refusals import refusals_named
from stages.models.resuming import changed, read_resuming
from stages.oci.layout import CHUNK_BYTES

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import AzureStore, GCSStore, S3Store

    Store = S3Store | GCSStore | AzureStore

Scheme = Literal["s3", "gs", "az"]
LISTED_AT_A_TIME = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStoreFiles(Remote):
    """All objects below a prefix of a bucket, or of a container of an Azure account."""

    scheme: Scheme
    bucket: str
    prefix: str
    account: str | None = None
    """Azure's storage account; default: what the environment names."""

    @property
    def name(self) -> str:
        """The URL of the prefix."""
        host = f"https://{self.account}.blob.core.windows.net" if self.account else f"{self.scheme}:/"
        return f"{host}/{self.bucket}/{self.prefix}".rstrip("/")

    def list(self, desk: Desk) -> tuple[SourceFile, ...]:
        """Return every object below the prefix; its ETag names the content.

        Raises:
            ToolMissing: the library is not installed.
            ConfigurationError: there is no object.
            RemoteError: the store refuses, or cannot be reached.
        """
        del desk
        with refusals_named(self.name):
            pages = self._store().list(chunk_size=LISTED_AT_A_TIME)
            found = [entry for page in pages for entry in page]
        # consoles make an empty object to show a folder, the top one too; the library drops its final slash
        folders = {"", *(parent for entry in found for parent in _parents(entry["path"]))}
        files = tuple(
            SourceFile(path=entry["path"], size_bytes=entry["size"], identity=_identity(entry))
            for entry in found
            if entry["size"] or entry["path"] not in folders
        )
        if not files:
            raise ConfigurationError(
                f"there is no object below {self.name}",
                advice="`model.source` names the folder above the model's files, not one of them.",
            )
        return files

    def read(self, file: SourceFile, offset: int = 0) -> Iterator[bytes]:
        """Yield the object from `offset` on.

        Raises:
            StageFailed: the object is gone, or is another one than was listed.
            RemoteError: the store refuses, or cannot be reached.
        """
        store = self._store()

        def open_at(position: int) -> Iterator[bytes]:
            options: GetOptions = {"range": {"offset": position}}
            with refusals_named(self.name, file.path):
                body = store.get(file.path, options=options)
                if (_identity(body.meta), body.meta["size"]) != (file.identity, file.size_bytes):
                    raise changed(self.name, file.path)
                for piece in body.stream(min_chunk_size=CHUNK_BYTES):
                    yield bytes(piece)

        return read_resuming(open_at, file, self.name, offset)

    def _store(self) -> "Store":
        with refusals_named(self.name):
            return _client(self, tuple(sorted(os.environ.items())))


@lru_cache(maxsize=16)
def _client(files: ObjectStoreFiles, _: tuple[tuple[str, str], ...]) -> "Store":
    """Log in once in a process, unless the environment becomes another; the client renews its credentials."""
    from stages.models.object_store_clients import azure_store, google_store, s3_store

    if files.scheme == "s3":
        return s3_store(files.name, files.bucket, files.prefix)
    if files.scheme == "gs":
        return google_store(files.name, files.bucket, files.prefix)
    return azure_store(files.name, files.bucket, files.prefix, files.account)


def _identity(entry: "ObjectMeta") -> str:
    """Return the ETag, which a listing and an answer quote differently; every write changes it."""
    etag = (entry["e_tag"] or "").removeprefix("W/").strip('"')
    return f"etag:{etag}" if etag else f"modified:{entry['last_modified'].isoformat()}"


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))
