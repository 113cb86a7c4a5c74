"""What a repository's state means for the push that is planned, in words and as errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import ConfigurationError, RemoteError, TagConflict
from pipeline.model import ImageTag
from pipeline.reference import Repository, Tag
from stages.oci.image_content import ImageContent
from stages.oci.progress import in_words
from stages.oci.push_image import is_moving
from stages.registries.interface import Registry, RepositoryState


def in_words_of(state: RepositoryState, repository: Repository, tag: ImageTag | None) -> tuple[str, ...]:
    """Return what a plan says of a repository.

    Raises:
        RemoteError: it is missing, and the push does not make it.
        TagConflict: the tag would have to move one day, and tags of this repository do not.
    """
    if state.exists is False and not state.created_on_push:
        raise RemoteError(f"{repository} does not exist", advice=state.advice)
    if state.immutable_tags and tag is not None and tag.moves:
        raise _unmovable(repository, tag.tag)
    return (*_told_of_repository(state), *in_words_of_tag(state, tag), *state.notes)


def in_words_of_tag(state: RepositoryState, tag: ImageTag | None) -> tuple[str, ...]:
    """Return what a plan says of one tag."""
    if tag is None:
        return ()
    if state.tag_digest is not None:
        return (f"the tag {tag.tag} {'moves from' if tag.moves else 'is taken by'} {state.tag_digest}",)
    return (f"the tag {tag.tag} is free",) if state.exists is not False else ()


def _unmovable(repository: Repository, tag: Tag) -> TagConflict:
    if is_moving(tag):
        return TagConflict(
            f"{repository} has immutable tags, and {tag} is the tag of whatever the work tree holds",
            advice="Commit your changes, so that the image gets a tag of its own, or name another `tag:`.",
        )
    return TagConflict(
        f"{repository} has immutable tags, and {tag} would move with every delivery",
        advice="Leave it out of `tags:`, or give it something of the commit, such as {short_commit}; or make "
        "the tags of the repository mutable.",
    )


def _told_of_repository(state: RepositoryState) -> Iterator[str]:
    if state.exists is not None:
        yield "the repository is there" if state.exists else "the repository is missing: the push makes it"
    if state.immutable_tags is not None:
        yield "its tags are immutable" if state.immutable_tags else "its tags can be moved"


def require_fitting(content: ImageContent, registry: Registry, repository: Repository) -> None:
    """Refuse an image with a blob that the registry does not take.

    Raises:
        ConfigurationError: there is one; it names the blob and both sizes.
    """
    limit_bytes = registry.largest_blob_bytes
    if limit_bytes is None:
        return
    for blob in content.blobs:
        if (size_bytes := blob.descriptor.size_bytes) > limit_bytes:
            raise ConfigurationError(
                f"{repository}: a layer of {in_words(size_bytes)} ({blob.descriptor.digest}) is larger than "
                f"this registry takes, which is {in_words(limit_bytes)}; nothing was sent",
                advice="Save the weights in several files (sharded safetensors, for example): each gets a "
                "layer of its own. Or push to a registry without this limit.",
            )


@contextmanager
def explained(registry: Registry, repository: Repository) -> Iterator[None]:
    """Let the registry's adapter say what an error of a request means there.

    Raises:
        RemoteError: the error, explained.
    """
    try:
        yield
    except RemoteError as error:
        explanation = registry.explain(error, repository)
        if explanation is error:
            raise
        raise explanation from error
