"""One image as a complete OCI image layout in a folder, for any tool that reads one."""

import contextlib
import errno
from pathlib import Path

from pipeline.desk import Say
from pipeline.errors import DiskFull, StageFailed
from pipeline.reference import Tag
from stages.oci.blob_stream import Blob, changed
from stages.oci.image_content import ImageContent
from stages.oci.layout import Layout
from stages.oci.progress import Progress, in_words


def export(content: ImageContent, tag: Tag, folder: Path, say: Say) -> Path:
    """Write all blobs and manifests below `folder`, under their digests, and name the image by its tag.

    Raises:
        DiskFull: there is no room.
        StageFailed: the folder cannot be written, or a blob is no longer what was built.
    """
    try:
        layout = Layout.create(folder)
        progress = Progress(str(folder), content.size_bytes, say)
        for blob in content.blobs:
            if not layout.has(blob.descriptor.digest):
                _bring(content.layout, layout, blob)
            progress.there(blob.descriptor.digest, blob.descriptor.size_bytes)
        for manifest in content.manifests:
            layout.write(manifest.content, manifest.descriptor.media_type)
        layout.put_root(content.image.descriptor, tag)
    except OSError as error:
        raise _disk_error(error, folder) from error
    say(f"{folder}: {in_words(content.size_bytes)} as an OCI image layout, {content.image.descriptor.digest}")
    return folder


def _bring(built: Layout, layout: Layout, blob: Blob) -> None:
    """Share the blob's file with the build where the file system can, or write it."""
    described = blob.descriptor
    if built.has(described.digest):
        # not on another file system, nor on one without hard links; a full disk shows below
        with contextlib.suppress(OSError):
            layout.take(built, described.digest)
    if layout.has(described.digest):
        return
    written = layout.write(blob.read(0), described.media_type)
    if written.digest != described.digest:
        layout.blob_path(written.digest).unlink()
        raise changed(described)


def _disk_error(error: OSError, folder: Path) -> DiskFull | StageFailed:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(
            f"no room for the image in {folder}", advice="Free some disk, or push to a registry instead."
        )
    return StageFailed(
        f"cannot write the image to {folder}: {error.strerror}",
        advice="Check the folder's owner and mode.",
    )
