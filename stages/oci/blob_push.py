"""One blob into one repository with as few bytes as possible: looked for, mounted, or uploaded.

Every attempt begins with a look: an answer that was lost on the way does not cost the blob a second journey.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Literal
from urllib.parse import urljoin

from pipeline.errors import RemoteError, TemporaryRemoteError
from pipeline.reference import Repository
from stages.oci.blob_stream import Blob, BlobStream
from stages.oci.chunked import SHORTEST_CHUNK, find_offset
from stages.oci.endpoint import origin
from stages.oci.exchange import Answer, Request
from stages.oci.sessions import Session
from stages.oci.transport import Purpose, Transport
from stages.oci.uploads import ChunksRefused, Monolithic, Upload, UploadStrategy

How = Literal["exists", "mounted", "uploaded"]
CONTENT_DIGEST = "Docker-Content-Digest"


@dataclass(slots=True, kw_only=True)
class BlobPush:
    """A blob on its way; remembers between attempts what the registry has of it."""

    blob: Blob
    repository: Repository
    transport: Transport
    strategy: UploadStrategy
    purpose: Purpose
    """For every request; what is being done is filled in."""
    mount_from: tuple[Repository, ...]
    session: Session
    sent: Callable[[int], None]
    furthest_bytes: int = 0
    """The most that the registry ever said it had."""
    stream: BlobStream = field(init=False)
    _upload: Upload | None = None

    def __post_init__(self) -> None:
        self.stream = BlobStream(self.blob)

    def attempt(self) -> How:
        """Bring the blob there; after a temporary error the next attempt goes on where this one broke.

        Raises:
            RemoteError: the registry refused or cannot be reached.
            StageFailed: the bytes are no longer what the digest says.
        """
        if self._is_there():
            self.session.forget()
            return "uploaded" if self.stream.sent_bytes else "exists"
        upload = self._resumed() or self._open()
        if upload is None:
            return "mounted"
        self._upload = upload
        self._require_digest(self._send(upload))
        self.session.forget()
        return "uploaded"

    def _is_there(self) -> bool:
        request = Request(method="HEAD", url=self._path(f"blobs/{self.blob.descriptor.digest}"))
        answer = self.transport.send(request, self._purpose("look for", 200, 404))
        return answer.status == HTTPStatus.OK

    def _resumed(self) -> Upload | None:
        """Return the upload that an earlier attempt or run has begun, if the registry still has it."""
        upload = self._upload or self._kept()
        self._upload = None
        if upload is not None and self._resumes and find_offset(upload):
            self._note(upload)
            return upload
        self.session.forget()
        return None

    def _kept(self) -> Upload | None:
        """Return the upload that an earlier run has left open here."""
        if self.session.location is None:
            return None
        with contextlib.suppress(ValueError):  # the file may hold anything
            location = urljoin(self.transport.base, self.session.location)
            return self._new_upload(location) if self._is_ours(location) else None
        return None

    def _is_ours(self, location: str) -> bool:
        """Tell whether a place may be kept: no other host gets the blob on the word of a file."""
        return origin(location) == origin(self.transport.base)

    @property
    def _resumes(self) -> bool:
        return self.transport.takes_chunks and self.strategy.resumes(self.blob)

    def _open(self) -> Upload | None:
        """Open an upload; None where the blob was mounted instead."""
        opened: Answer | None = None
        for source in self.mount_from:
            answer = self._mount(source)
            if answer is not None and answer.status == HTTPStatus.CREATED:
                self._require_digest(answer)
                return None
            opened = answer or opened  # not mounted, but an upload was opened: as good as any other
        return self._opened(opened or self._begin())

    def _mount(self, source: Repository) -> Answer | None:
        """Ask to mount; None where the registry, or its token service, refuses even to be asked."""
        digest = self.blob.descriptor.digest
        purpose = self._purpose("mount", 201, 202)
        purpose = replace(purpose, scopes=purpose.scopes | {f"repository:{source.path}:pull"})
        query = f"mount={digest}&from={source.path}"
        try:
            return self.transport.send(
                Request(method="POST", url=self._path(f"blobs/uploads/?{query}")), purpose
            )
        except TemporaryRemoteError:
            raise
        except RemoteError:
            return None

    def _begin(self) -> Answer:
        request = Request(method="POST", url=self._path("blobs/uploads/"))
        return self.transport.send(request, self._purpose("begin the upload of", 202))

    def _opened(self, answer: Answer) -> Upload:
        location = answer.location
        if location is None:
            raise RemoteError(
                f"{self.repository.host} opened an upload without saying where",
                advice="Ask the registry's administrator: a proxy may drop the Location header.",
            )
        upload = self._new_upload(location)
        shortest = answer.headers.get(SHORTEST_CHUNK, "")
        upload.shortest_chunk_bytes = int(shortest) if shortest.isdecimal() else 0
        self._keep(upload.location)
        return upload

    def _new_upload(self, location: str) -> Upload:
        return Upload(
            transport=self.transport,
            purpose=self._purpose("upload"),
            stream=self.stream,
            sent=self.sent,
            keep=self._keep,
            location=location,
        )

    def _keep(self, location: str) -> None:
        """Keep a place for the next run."""
        if self._resumes and self._is_ours(location):
            self.session.keep(location)

    def _send(self, upload: Upload) -> Answer:
        try:
            if self.transport.takes_chunks:
                return self.strategy.send(upload)
        except ChunksRefused:
            self.transport.takes_chunks = False
            upload = self._upload = self._opened(self._begin())
        except TemporaryRemoteError:
            raise
        except RemoteError as error:
            if not upload.resumed:
                raise
            self._upload = None
            self.session.forget()
            raise TemporaryRemoteError(error.message, advice=error.advice) from error
        finally:
            self._note(upload)
        return Monolithic().send(upload)

    def _note(self, upload: Upload) -> None:
        self.furthest_bytes = max(self.furthest_bytes, upload.offset)

    def _require_digest(self, answer: Answer) -> None:
        require_digest(answer, self.blob.descriptor.digest, self.repository)

    def _path(self, rest: str) -> str:
        return f"/v2/{self.repository.path}/{rest}"

    def _purpose(self, doing: str, *expect: int) -> Purpose:
        return replace(self.purpose, doing=f"{doing} {self.blob.descriptor.digest.short}", expect=expect)


def require_digest(answer: Answer, digest: str, repository: Repository) -> None:
    """Refuse an answer that names another digest than ours.

    Raises:
        RemoteError: it does.
    """
    told = answer.headers.get(CONTENT_DIGEST)
    if told is not None and told != digest:
        raise other_digest(told, digest, repository)


def other_digest(told: str, digest: str, repository: Repository) -> RemoteError:
    """Return the error for bytes, or an answer, of another digest than expected."""
    return RemoteError(
        f"{repository}: the registry answered with {told} where {digest} was expected",
        advice="Check what lies between here and the registry (a proxy, a mirror), and run again.",
    )
