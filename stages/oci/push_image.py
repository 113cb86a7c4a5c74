"""One image into one repository: blobs, then manifests, then the tag; nothing is sent that is there."""

import time
from collections import Counter
from dataclasses import dataclass

from pipeline.desk import Say
from pipeline.errors import RemoteError, TagConflict
from pipeline.model import ImageTag, PushedBlob, PushedReference
from pipeline.reference import Digest, Repository, Tag
from stages.oci.blob_stream import Blob
from stages.oci.distribution import RepositoryClient
from stages.oci.image_content import ImageContent
from stages.oci.parallel import for_each
from stages.oci.progress import Progress, in_words
from stages.oci.refusals import TagRefused

UPLOADS_AT_A_TIME = 4
MOVING_SUFFIX = "-dirty"
IN_WORDS = {"exists": "already there", "mounted": "mounted", "uploaded": "uploaded"}
WHY_ANOTHER_DIGEST = (
    "If the same commit should have given the same digest, something that the build reads changed: a "
    "setting, the base image, a package index, or weights. For weights: `pipeline lock`, and commit "
    "pipeline.lock, so that a commit names them."
)


def is_moving(tag: Tag) -> bool:
    """Tell whether a tag names what a work tree holds at the time, which is no commit's content."""
    return tag.endswith(MOVING_SUFFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePush:
    """An image on its way to a repository. `mount_from` are repositories that hold the same blobs.

    Only the image itself gets tags; what is below an index is pushed by its digest.
    """

    content: ImageContent
    tag: Tag
    further_tags: tuple[ImageTag, ...] = ()
    client: RepositoryClient
    mount_from: tuple[Repository, ...] = ()
    say: Say
    uploads_at_a_time: int = UPLOADS_AT_A_TIME

    def run(self) -> PushedReference:
        """Push, and return what the registry answered.

        Raises:
            TagConflict: the tag is there with another digest.
            RemoteError: the registry refused, could not be reached, or holds another digest afterwards.
        """
        begin = time.monotonic()
        first, *further = self._tags
        for tag in self._tags:
            self._tagged(tag)  # a conflict is said before gigabytes are sent
        blobs = self._push_blobs()
        for child in self.content.children:
            self._push_child(child.descriptor.digest, child.content, child.descriptor.media_type)
        existed = self._push_tag(first)
        for tag in further:
            self._push_tag(tag)
        for tag in self._tags:
            self._verify(tag)
        pushed = PushedReference(
            repository=self.client.repository,
            tag=self.tag,
            tags=tuple(each.tag for each in further),
            digest=self._digest,
            tag_existed=existed,
            blobs=blobs,
            duration_s=time.monotonic() - begin,
        )
        self._report(pushed)
        return pushed

    @property
    def _digest(self) -> Digest:
        return self.content.image.descriptor.digest

    @property
    def _tags(self) -> tuple[ImageTag, ...]:
        return (ImageTag(tag=self.tag, moves=is_moving(self.tag)), *self.further_tags)

    def _tagged(self, tag: ImageTag) -> Digest | None:
        """Return the digest that the tag names now; refuse another one than ours, unless the tag may move."""
        there = self.client.find_manifest(tag.tag)
        if there is None or there == self._digest or tag.moves:
            return there
        raise TagConflict(
            f"{self.client.repository}:{tag.tag} exists with {there}, and this build is {self._digest}",
            advice="A tag is never moved. Commit a change, or give a `tag:` of your own another value, "
            "and run again; or deliver the image that is there. " + WHY_ANOTHER_DIGEST,
        )

    def _push_blobs(self) -> tuple[PushedBlob, ...]:
        progress = Progress(str(self.client.repository), self.content.size_bytes, self.say)

        def push(blob: Blob) -> PushedBlob:
            digest, size_bytes = blob.descriptor.digest, blob.descriptor.size_bytes
            pushed = self.client.push_blob(
                blob, mount_from=self.mount_from, sent=lambda count: progress.sent(digest, count, size_bytes)
            )
            progress.there(digest, size_bytes, IN_WORDS[pushed.how])
            return pushed

        stopped = self.client.transport.stopped
        return for_each(push, self.content.blobs, threads=self.uploads_at_a_time, stopped=stopped)

    def _push_child(self, digest: Digest, content: bytes, media_type: str) -> None:
        if self.client.find_manifest(digest) is None:
            self.client.push_manifest(digest, content, media_type)

    def _push_tag(self, tag: ImageTag) -> bool:
        """Give the image its tag; return whether it had it already."""
        there = self._tagged(tag)  # asked again: somebody else may have been quicker
        if there == self._digest:
            return True
        if there is not None:
            self.say(f"{self.client.repository}:{tag.tag} moves from {there} to {self._digest}")
        top = self.content.image
        try:
            self.client.push_manifest(tag.tag, top.content, top.descriptor.media_type)
        except TagRefused as refused:
            return self._was_quicker(tag, refused)
        return False

    def _was_quicker(self, tag: ImageTag, refused: TagRefused) -> bool:
        """Return True where somebody else has written our digest under the tag meanwhile.

        Raises:
            TagConflict: it is another digest.
            TagRefused: there is none; the tag was refused for another reason.
        """
        there = self._tagged(tag)
        if there is None:
            raise refused
        if there != self._digest:
            raise TagConflict(
                f"{self.client.repository}:{tag.tag} is {there}, and the registry's tags are immutable: "
                f"it cannot move to {self._digest}",
                advice="Commit your changes, so that the image gets a tag of its own, and run again. "
                "A tag that moves with every delivery has no place in such a repository: see `tags`.",
            ) from refused
        return True

    def _verify(self, tag: ImageTag) -> None:
        """Ask by tag what everybody will get from now on."""
        there = self.client.find_manifest(tag.tag)
        if there == self._digest:
            return
        if there is not None and tag.moves and tag.tag != self.tag:
            self.say(
                f"{self.client.repository}:{tag.tag} is {there} by now: another delivery has moved it on"
            )
            return
        raise RemoteError(
            f"{self.client.repository}:{tag.tag} is {there or 'missing'}, not {self._digest} as pushed",
            advice="Another run may have pushed the same tag at the same time, or the registry rewrites "
            "manifests. Nothing is deployed from this run: run again.",
        )

    def _report(self, pushed: PushedReference) -> None:
        counts = Counter(blob.how for blob in pushed.blobs)
        told = ", ".join(f"{count} {IN_WORDS[how]}" for how, count in sorted(counts.items()))
        self.say(
            f"{pushed}: {told}; {in_words(pushed.bytes_sent)} sent, {in_words(pushed.bytes_saved)} were there"
        )
