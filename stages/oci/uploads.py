"""How the bytes of a blob travel once the registry has opened an upload; the registry's adapter chooses.

A later strategy (chunks, resuming) is one more class here.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from pipeline.errors import Interrupted, StageFailed
from pipeline.model import Descriptor
from stages.oci.exchange import Answer, Request
from stages.oci.transport import Purpose, Transport

SMALLEST_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Bytes to push, read anew at every attempt and never held in memory as a whole."""

    descriptor: Descriptor
    read: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload that the registry has opened."""

    location: str
    purpose: Purpose
    sent: Callable[[int], None]
    """Told how many bytes of the blob are sent so far."""


class UploadStrategy(Protocol):
    """Sends a blob into an open upload."""

    def send(self, transport: Transport, upload: Upload, blob: Blob) -> Answer:
        """Send all bytes, and return the registry's answer to the last request.

        Raises:
            RemoteError: the registry refused.
            StageFailed: the bytes are no longer what the digest says.
        """
        ...


@dataclass(frozen=True, slots=True)
class Monolithic:
    """One request with the whole blob, as every registry takes it."""

    def send(self, transport: Transport, upload: Upload, blob: Blob) -> Answer:
        """Send the blob in one PUT with its length; see `UploadStrategy.send`."""
        joint = "&" if "?" in upload.location else "?"
        request = Request(
            method="PUT",
            url=f"{upload.location}{joint}digest={quote(blob.descriptor.digest, safe='')}",
            headers={"Content-Type": "application/octet-stream"},
            body=CheckedBody(blob, transport.stopped, upload.sent) if blob.descriptor.size_bytes else b"",
        )
        return transport.send(request, upload.purpose)


@dataclass(frozen=True, slots=True)
class CheckedBody:
    """A blob as a request's body: hashed on its way, so that changed bytes are never completed."""

    blob: Blob
    stopped: threading.Event
    sent: Callable[[int], None]

    def __len__(self) -> int:
        return self.blob.descriptor.size_bytes

    def __iter__(self) -> Iterator[bytes]:
        digest, count = hashlib.sha256(), 0
        for chunk in gathered(self.blob.read()):
            if self.stopped.is_set():
                raise Interrupted("the push was stopped")
            digest.update(chunk)
            count += len(chunk)
            if count >= len(self):  # before the last piece is sent: the registry must not get other bytes
                self._require(count, digest)
            yield chunk
            self.sent(count)
        self._require(count, digest)

    def _require(self, count: int, digest: "hashlib._Hash") -> None:
        described = self.blob.descriptor
        if count != described.size_bytes or f"sha256:{digest.hexdigest()}" != described.digest:
            raise changed(described)


def changed(described: Descriptor) -> StageFailed:
    """Return the error for a blob whose source no longer gives the bytes that were described."""
    return StageFailed(
        f"the content of {described.digest} changed since the build",
        advice="Let nothing write to the model and the run's folders during a run, and run again.",
    )


def gathered(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes without tiny pieces: each costs a packet."""
    small = bytearray()
    for chunk in chunks:
        if not small and len(chunk) >= SMALLEST_PIECE_BYTES:
            yield chunk
            continue
        small += chunk
        if len(small) >= SMALLEST_PIECE_BYTES:
            yield bytes(small)
            small.clear()
    if small:
        yield bytes(small)
