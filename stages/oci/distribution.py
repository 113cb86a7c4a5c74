"""The client of one repository in a registry.

Source: OCI distribution specification 1.1.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

from pipeline.errors import RemoteError
from pipeline.model import Descriptor, PushedBlob
from pipeline.reference import Digest, Repository, Tag
from stages.oci.authentication import Credentials, Scopes, granted, login_refused
from stages.oci.blob_push import CONTENT_DIGEST, BlobPush, other_digest, require_digest
from stages.oci.blob_stream import Blob, skipped
from stages.oci.exchange import Answer, Request
from stages.oci.layout import INDEX_TYPE
from stages.oci.retries import Retries
from stages.oci.sessions import Sessions
from stages.oci.transport import Purpose, Transport
from stages.oci.uploads import UploadStrategy

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    INDEX_TYPE,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
SUBJECT = "OCI-Subject"

T = TypeVar("T")


def _quiet(_: str) -> None:
    return None


def _uncounted(_: int) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryClient:
    """Reads and writes one repository; every request is tried again where that may help.

    All methods raise RemoteError, with what the registry said and what to do.
    """

    repository: Repository
    transport: Transport
    uploads: UploadStrategy
    retries: Retries = field(default_factory=Retries)
    sessions: Sessions = field(default_factory=Sessions)
    """Where broken uploads are remembered for the next run."""
    say: Callable[[str], None] = _quiet
    actions: str = "pull,push"
    """The rights to ask for; `pull` where nothing is written."""

    def log_in(self) -> Credentials | None:
        """Ask the registry to let us push here; return who we are to it, or None where it lets in anybody."""
        credentials, header = self._retry(lambda: self.transport.log_in(self._scopes))
        actions = granted(header, self.repository.path)
        if actions is not None and not actions & {"push", "*"}:
            raise self._may_not_push(credentials)
        return credentials

    def exists(self) -> bool:
        """Tell whether the registry knows the repository: whether anything was ever pushed to it."""
        answer = self._send(self._request("GET", "tags/list?n=1"), "list the tags", (200, 404))
        return answer.status == HTTPStatus.OK

    def has_blob(self, digest: Digest) -> bool:
        """Tell whether the repository holds the blob."""
        answer = self._send(self._request("HEAD", f"blobs/{digest}"), f"look for {digest.short}", (200, 404))
        return answer.status == HTTPStatus.OK

    def read_blob(self, digest: Digest) -> bytes:
        """Return a small blob, such as a configuration, once its bytes are found to fit the digest."""
        answer = self._send(self._request("GET", f"blobs/{digest}"), f"read {digest.short}", (200,))
        return self._checked(answer.content, digest)

    def stream_blob(self, digest: Digest, offset: int = 0) -> Iterator[bytes]:
        """Yield a big blob from an offset on as it comes: asked for once, and not compared with its digest.

        Raises TemporaryRemoteError where the connection broke.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        request = Request(method="GET", url=f"{self._path}/blobs/{digest}", headers=headers, streamed=True)
        answer = self.transport.send(request, self._purpose(f"read {digest.short}", (200, 206)))
        if answer.status == HTTPStatus.OK:
            yield from skipped(iter(answer.pieces), offset)
        elif answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            yield from answer.pieces
        else:
            raise RemoteError(
                f"{self.repository}: asked for the bytes of {digest.short} from {offset} on, the answer is "
                f"{answer.headers.get('Content-Range', '')!r}",
                advice="Ask the registry's administrator: a proxy may not understand ranges.",
            )

    def push_blob(
        self, blob: Blob, *, mount_from: Iterable[Repository] = (), sent: Callable[[int], None] = _uncounted
    ) -> PushedBlob:
        """See to it that the repository holds the blob, with as few bytes sent as possible."""
        digest, size_bytes = blob.descriptor.digest, blob.descriptor.size_bytes
        with contextlib.closing(self.sessions.take(self.repository, digest)) as session:
            push = BlobPush(
                blob=blob,
                repository=self.repository,
                transport=self.transport,
                strategy=self.uploads,
                purpose=self._purpose("", ()),
                mount_from=tuple(source for source in mount_from if source.host == self.repository.host),
                session=session,
                sent=sent,
            )
            how = self.retries.run(
                push.attempt, self.transport.stopped, self.say, progress=lambda: push.furthest_bytes
            )
        return PushedBlob(digest=digest, size_bytes=size_bytes, how=how, sent_bytes=push.stream.sent_bytes)

    def read_manifest(self, reference: Tag | Digest) -> tuple[Descriptor, bytes] | None:
        """Return a manifest or index with its bytes; None where there is none."""
        answer = self._ask_for_manifest("GET", reference)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        content = self._checked(answer.content, reference if isinstance(reference, Digest) else None)
        return (
            Descriptor(
                media_type=answer.headers.get("Content-Type", "").partition(";")[0],
                digest=Digest.of(content),
                size_bytes=len(content),
            ),
            content,
        )

    def find_manifest(self, reference: Tag | Digest) -> Digest | None:
        """Return the digest that the reference names in the registry; None where there is none."""
        answer = self._ask_for_manifest("HEAD", reference)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        told = self._told_digest(answer)
        if told is not None:
            return told
        found = self.read_manifest(reference)  # the header is optional: then the bytes tell
        return found[0].digest if found else None

    def push_manifest(self, reference: Tag | Digest, content: bytes, media_type: str) -> str | None:
        """Write a manifest or index as it is, after all that it names.

        Returns the digest of the subject that the registry will list it under; None where it keeps no lists.
        """
        request = Request(
            method="PUT",
            url=f"{self._path}/manifests/{reference}",
            headers={"Content-Type": media_type},
            body=content,
        )
        answer = self._send(request, f"write the manifest {reference}", (201,))
        require_digest(answer, Digest.of(content), self.repository)
        return answer.headers.get(SUBJECT)

    def list_referrers(self, page: str, subject: Digest) -> Answer:
        """Return a page of the manifests that point at another one; 404 where the registry keeps no lists."""
        request = Request(method="GET", url=page, headers={"Accept": INDEX_TYPE})
        return self._send(request, f"list what points at {subject.short}", (200, 404))

    def _send(self, request: Request, doing: str, expect: tuple[int, ...]) -> Answer:
        return self._retry(lambda: self.transport.send(request, self._purpose(doing, expect)))

    def _request(self, method: str, path: str, **headers: str) -> Request:
        return Request(method=method, url=f"{self._path}/{path}", headers=headers)

    def _ask_for_manifest(self, method: str, reference: Tag | Digest) -> Answer:
        request = self._request(method, f"manifests/{reference}", Accept=", ".join(MANIFEST_TYPES))
        return self._send(request, f"read the manifest {reference}", (200, 404))

    def _purpose(self, doing: str, expect: tuple[int, ...]) -> Purpose:
        return Purpose(doing=doing, repository=self.repository.path, scopes=self._scopes, expect=expect)

    def _retry(self, work: Callable[[], T]) -> T:
        return self.retries.run(work, self.transport.stopped, self.say)

    @property
    def _path(self) -> str:
        return f"/v2/{self.repository.path}"

    @property
    def _scopes(self) -> Scopes:
        return frozenset({f"repository:{self.repository.path}:{self.actions}"})

    def _may_not_push(self, credentials: Credentials | None) -> RemoteError:
        host = self.repository.host
        if credentials is None:
            return login_refused(host, None)
        return RemoteError(
            f"{host}: user {credentials.username!r} may not push to {self.repository.path}",
            advice=f"The login came from {credentials.origin}. Give that user the right to push, or log in "
            "as another.",
        )

    def _told_digest(self, answer: Answer) -> Digest | None:
        told = answer.headers.get(CONTENT_DIGEST)
        try:
            return Digest(told) if told is not None else None
        except ValueError:
            return None  # of another algorithm, or nonsense: the bytes tell

    def _checked(self, content: bytes, digest: Digest | None) -> bytes:
        if digest is not None and Digest.of(content) != digest:
            # perhaps cut off on the way: worth another run, never worth trusting
            raise other_digest(Digest.of(content), digest, self.repository)
        return content
