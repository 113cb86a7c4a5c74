"""One image as a complete OCI image layout in a folder, for any tool that reads one."""

import contextlib
import errno
import hashlib
from pathlib import Path

from pipeline.desk import Say
from pipeline.errors import DiskFull, StageFailed, TagConflict
from pipeline.reference import Digest, Repository, Tag
from stages.oci.blob_stream import Blob, changed
from stages.oci.image_content import ImageContent
from stages.oci.layout import Layout
from stages.oci.progress import Progress, in_words
from stages.oci.push_image import WHY_ANOTHER_DIGEST, is_moving


def export(
    content: ImageContent, tag: Tag, folder: Path, say: Say, *, repository: Repository | None = None
) -> Path:
    """Write all blobs and manifests below `folder`, under their digests, and name the image by its tag.

    With a repository it has the whole name too, which an engine that loads the folder gives it.

    Raises:
        DiskFull: there is no room.
        TagConflict: the tag is there with another digest, and is none of those that may move.
        StageFailed: the folder cannot be written, or a blob is no longer what was built.
    """
    try:
        layout = Layout.create(folder)
        _refuse_to_move(layout, tag, content.image.descriptor.digest)
        progress = Progress(str(folder), content.size_bytes, say)
        for blob in content.blobs:
            _bring(content.layout, layout, blob)
            progress.there(blob.descriptor.digest, blob.descriptor.size_bytes)
        for manifest in content.manifests:
            layout.write(manifest.content, manifest.descriptor.media_type)
        name = f"{repository}:{tag}" if repository is not None else None
        layout.put_root(content.image.descriptor, tag, name=name)
    except OSError as error:
        raise _disk_error(error, folder) from error
    say(f"{folder}: {in_words(content.size_bytes)} as an OCI image layout, {content.image.descriptor.digest}")
    return folder


def _refuse_to_move(layout: Layout, tag: Tag, digest: Digest) -> None:
    there = next((root.descriptor.digest for root in layout.roots() if root.reference == tag), digest)
    if there == digest or is_moving(tag):
        return
    raise TagConflict(
        f"{layout.path}: {tag} exists with {there}, and this build is {digest}",
        advice="A tag is never moved. Commit a change, or give a `tag:` of your own another value, and run "
        "again; or remove that folder. " + WHY_ANOTHER_DIGEST,
    )


def _bring(built: Layout, layout: Layout, blob: Blob) -> None:
    """Share the blob's file with the build where the file system can, or write it; its bytes are hashed."""
    described = blob.descriptor
    if built.has(described.digest) and not layout.has(described.digest):
        # not on another file system, nor on one without hard links; a full disk shows below
        with contextlib.suppress(OSError):
            layout.take(built, described.digest)
    if layout.has(described.digest):
        if _hash(layout.blob_path(described.digest)) == described.digest:
            return
        layout.blob_path(described.digest).unlink()
    written = layout.write(blob.read(0), described.media_type)
    if written.digest != described.digest:
        layout.blob_path(written.digest).unlink()
        raise changed(blob)


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def _disk_error(error: OSError, folder: Path) -> DiskFull | StageFailed:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(
            f"no room for the image in {folder}", advice="Free some disk, or push to a registry instead."
        )
    return StageFailed(
        f"cannot write the image to {folder}: {error.strerror}",
        advice="Check the folder's owner and mode.",
    )
