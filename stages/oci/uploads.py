"""A blob on its way: its bytes, an upload that the registry has opened, and how the bytes may travel.

How they travel is the registry's matter: its adapter chooses `Monolithic` here, or `Chunked` in `chunked.py`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote

from pipeline.errors import Interrupted, RemoteError
from stages.oci.blob_stream import Blob, BlobStream
from stages.oci.exchange import Answer, Request
from stages.oci.transport import Purpose, Transport

OCTETS = "application/octet-stream"


@dataclass(slots=True, kw_only=True)
class Upload:
    """An upload that the registry has opened: where it goes on, and how far it is."""

    transport: Transport
    purpose: Purpose
    stream: BlobStream
    sent: Callable[[int], None]
    """Told how many bytes of the blob are on their way or there."""
    keep: Callable[[str], None]
    """Told where the upload goes on, whenever that changes."""
    location: str
    offset: int = 0
    """Bytes that the registry says it has."""
    shortest_chunk_bytes: int = 0
    """What the registry asks for, if it does."""
    resumed: bool = False
    """It was broken and goes on: its beginning was sent by another request than we know of."""

    @property
    def blob(self) -> Blob:
        """What is sent."""
        return self.stream.blob

    def send(self, request: Request, *statuses: int) -> Answer:
        """Send a request of this upload; the statuses are the answers that make sense."""
        return self.transport.send(request, replace(self.purpose, expect=statuses))

    def part(self, begin: int, end: int) -> "Part":
        """Return these bytes of the blob as a request's body."""
        return Part(self, begin, end)

    def moved(self, answer: Answer, offset: int) -> None:
        """Note where the upload goes on, and what the registry has by now."""
        self.location = answer.location or self.location
        self.offset = offset
        self.keep(self.location)

    def complete(self, body: "Part | bytes") -> Answer:
        """Send the last request, which names the digest; the registry compares it with what it has."""
        joint = "&" if "?" in self.location else "?"
        request = Request(
            method="PUT",
            url=f"{self.location}{joint}digest={quote(self.blob.descriptor.digest, safe='')}",
            headers={"Content-Type": OCTETS},
            body=body,
        )
        return self.send(request, HTTPStatus.CREATED)


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a blob as a request's body, the same again whenever they are asked for."""

    upload: Upload
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin

    def __iter__(self) -> Iterator[bytes]:
        position, stopped = self.begin, self.upload.transport.stopped
        for piece in self.upload.stream.read(self.begin, self.end):
            if stopped.is_set():
                raise Interrupted("the push was stopped")
            yield piece
            position += len(piece)
            self.upload.sent(position)


class ChunksRefused(RemoteError):
    """The registry does not take a blob in several requests; it may take it in one."""


class UploadStrategy(Protocol):
    """Sends a blob into an open upload."""

    def resumes(self, blob: Blob) -> bool:
        """Tell whether a broken upload of this blob can go on where the registry says that it is."""
        ...

    def send(self, upload: Upload) -> Answer:
        """Send what the registry does not have yet, and return its answer to the last request.

        Raises:
            RemoteError: the registry refused.
            ChunksRefused: the registry wants the blob as a whole; nothing is lost by beginning anew.
            StageFailed: the bytes are no longer what the digest says.
        """
        ...


@dataclass(frozen=True, slots=True)
class Monolithic:
    """One request with the whole blob, as every registry takes it."""

    def resumes(self, blob: Blob) -> bool:
        """See `UploadStrategy.resumes`."""
        del blob
        return False

    def send(self, upload: Upload) -> Answer:
        """Send the blob in one PUT with its length; see `UploadStrategy.send`."""
        size_bytes = upload.blob.descriptor.size_bytes
        return upload.complete(upload.part(0, size_bytes) if size_bytes else b"")
