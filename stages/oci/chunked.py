"""A blob in several requests, so that a break costs one of them and not the whole blob.

Source: OCI distribution specification 1.1, "Pushing a blob in chunks".
"""

import re
from dataclasses import dataclass
from http import HTTPStatus

from pipeline.errors import RemoteError, TemporaryRemoteError
from stages.oci.blob_stream import Blob
from stages.oci.exchange import Answer, Request
from stages.oci.uploads import OCTETS, ChunksRefused, Monolithic, Upload

# Large enough that the pause in between, in which a registry flushes to its disk, is lost in the noise; below
# the 100 MB that proxies such as Cloudflare's let through.
CHUNK_BYTES = 64 * 1024 * 1024
SHORTEST_CHUNK = "OCI-Chunk-Min-Length"
RANGE = re.compile(r"(?:bytes[= ])?0-(\d+)")
REPORTED = frozenset({200, 202, 204})
# How registries say that they do not know an upload, or not any more, or not at this offset.
UNKNOWN = (400, 404, 405, 410, 416)
# How they say that they do not know chunks. ECR says 201.
NO_CHUNKS = (200, 201, 204, 400, 405, 411, 413, 415, 501)


@dataclass(frozen=True, slots=True)
class Chunked:
    """Chunks of a fixed size, and what fits into one of them in a single request."""

    chunk_bytes: int = CHUNK_BYTES

    def resumes(self, blob: Blob) -> bool:
        """See `UploadStrategy.resumes`."""
        return blob.descriptor.size_bytes > self.chunk_bytes

    def send(self, upload: Upload) -> Answer:
        """Send the rest chunk by chunk, then name the digest; see `UploadStrategy.send`."""
        if not self.resumes(upload.blob):
            return Monolithic().send(upload)
        while upload.offset < upload.blob.descriptor.size_bytes:
            self._send_chunk(upload)
        return upload.complete(b"")

    def _send_chunk(self, upload: Upload) -> None:
        length = max(self.chunk_bytes, upload.shortest_chunk_bytes)
        begin, end = upload.offset, min(upload.offset + length, upload.blob.descriptor.size_bytes)
        request = Request(
            method="PATCH",
            url=upload.location,
            headers={"Content-Type": OCTETS, "Content-Range": f"{begin}-{end - 1}"},
            body=upload.part(begin, end),
        )
        answer = upload.send(request, HTTPStatus.ACCEPTED, *NO_CHUNKS, *UNKNOWN)
        there = _there(answer, end)
        if there is None or not begin < there <= end:
            raise _not_taken(upload, answer)
        upload.moved(answer, there)


def find_offset(upload: Upload) -> bool:
    """Ask the registry how much of a broken upload it has; return whether the upload can go on.

    Raises:
        TemporaryRemoteError: the registry does not answer just now.
    """
    answer = upload.send(Request(method="GET", url=upload.location), *REPORTED, *UNKNOWN)
    if answer.status not in REPORTED:
        return False
    there = received_bytes(answer, None)
    if there is None or there > upload.blob.descriptor.size_bytes:
        return False
    upload.moved(answer, there)
    upload.resumed = True
    return True


def received_bytes(answer: Answer, unless_told: int | None) -> int | None:
    """Return how many bytes the registry says it has; `0-0` is how registries write none."""
    told = answer.headers.get("Range")
    if told is None:
        return unless_told
    match = RANGE.fullmatch(told.strip())
    if match is None:
        return None
    last = int(match[1])
    return last + 1 if last else 0


def _there(answer: Answer, end: int) -> int | None:
    """Return how far the upload is after a chunk; some registries say 204 where others say 202."""
    if answer.status == HTTPStatus.ACCEPTED:
        return received_bytes(answer, end)
    return received_bytes(answer, None) if answer.status == HTTPStatus.NO_CONTENT else None


def _not_taken(upload: Upload, answer: Answer) -> RemoteError:
    host = upload.transport.endpoint.host
    digest = upload.blob.descriptor.digest.short
    if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and upload.offset:
        return TemporaryRemoteError(
            f"{host} is at another byte of {digest} than we are", advice="Run again: the upload goes on."
        )
    if answer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE} or (
        upload.offset and answer.status == HTTPStatus.BAD_REQUEST
    ):
        return TemporaryRemoteError(
            f"{host} does not know the upload of {digest} any more", advice="Run again: it begins anew."
        )
    return ChunksRefused(
        f"{host} does not take {digest} in chunks: {answer.phrase}",
        advice="It has to be sent in one request.",
    )
