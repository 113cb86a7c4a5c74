"""What every registry can tell of a repository: by the OCI distribution API alone."""

from pipeline.errors import RemoteError
from pipeline.model import RegistryEvidence
from pipeline.reference import Digest, Tag
from stages.oci.blob_stream import Blob
from stages.oci.distribution import RepositoryClient
from stages.oci.image_content import ImageContent, Manifest
from stages.oci.parallel import for_each
from stages.registries.interface import RepositoryState

QUESTIONS_AT_A_TIME = 4


def inspect(client: RepositoryClient, tag: Tag | None) -> RepositoryState:
    """Return what the tag names; whether the repository exists and moves its tags, this API does not tell.

    Raises:
        RemoteError: the registry refused, or cannot be reached.
    """
    return RepositoryState(tag_digest=client.find_manifest(tag) if tag is not None else None)


def read_back(client: RepositoryClient, content: ImageContent) -> RegistryEvidence:
    """Fetch every manifest by its digest, compare it byte for byte, and ask for every blob.

    Raises:
        RemoteError: something is missing or different.
    """

    def ask(blob: Blob) -> None:
        if not client.has_blob(blob.descriptor.digest):
            raise _lost(client, blob.descriptor.digest, "is missing")

    for manifest in content.manifests:
        _compare(client, manifest)
    stopped = client.transport.stopped
    for_each(ask, content.blobs, threads=QUESTIONS_AT_A_TIME, stopped=stopped)
    return RegistryEvidence(
        asked="OCI distribution API",
        manifests_compared=len(content.manifests),
        blobs_found=len(content.blobs),
        media_type=content.image.descriptor.media_type,
    )


def _compare(client: RepositoryClient, manifest: Manifest) -> None:
    digest = manifest.descriptor.digest
    found = client.read_manifest(digest)
    if found is None:
        raise _lost(client, digest, "is missing")
    descriptor, content = found
    if content != manifest.content:
        raise _lost(client, digest, "is not what was pushed")
    if descriptor.media_type != manifest.descriptor.media_type:
        raise _lost(client, digest, f"is called {descriptor.media_type or 'nothing'}")


def _lost(client: RepositoryClient, digest: Digest, what: str) -> RemoteError:
    return RemoteError(
        f"{client.repository}: {digest} {what} after the push",
        advice="The registry lost or rewrote what it had confirmed: look for a clean-up job or a slow "
        "mirror. Nothing is deployed from this run: run again.",
    )
