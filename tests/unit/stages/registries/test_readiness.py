from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError, RemoteError, TagConflict
from pipeline.model import ImageTag
from pipeline.reference import Digest, Repository, Tag
from stages.oci.image_content import ImageContent
from stages.registries.generic import GenericRegistry
from stages.registries.interface import RepositoryState
from stages.registries.readiness import in_words_of, require_fitting
from tests.support.small_image import make_image

REPOSITORY = Repository("registry.example.com/models/digits")
TAG = ImageTag(tag=Tag("v1"))
DIGEST = Digest.of(b"")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (RepositoryState(), ("the tag v1 is free",)),
        (RepositoryState(tag_digest=DIGEST), (f"the tag v1 is taken by {DIGEST}",)),
        (
            RepositoryState(exists=True, immutable_tags=True, notes=("scan on push",)),
            ("the repository is there", "its tags are immutable", "the tag v1 is free", "scan on push"),
        ),
        (
            RepositoryState(exists=False, created_on_push=True, immutable_tags=False),
            ("the repository is missing: the push makes it", "its tags can be moved"),
        ),
    ],
)
def test_the_plan_says_what_is_known(state: RepositoryState, words: tuple[str, ...]) -> None:
    assert in_words_of(state, REPOSITORY, TAG) == words


def test_without_a_tag_nothing_is_said_of_it() -> None:
    assert in_words_of(RepositoryState(), REPOSITORY, None) == ()


def test_a_repository_that_is_missing_comes_with_what_makes_it() -> None:
    with pytest.raises(RemoteError, match="digits does not exist") as caught:
        in_words_of(RepositoryState(exists=False, advice="aws ecr create-repository"), REPOSITORY, TAG)
    assert caught.value.advice == "aws ecr create-repository"


def test_a_moving_tag_has_no_place_among_immutable_ones() -> None:
    dirty, latest = (ImageTag(tag=Tag(name), moves=True) for name in ("v1-dirty", "latest"))
    immutable, mutable = RepositoryState(immutable_tags=True), RepositoryState(tag_digest=DIGEST)
    with pytest.raises(TagConflict, match="v1-dirty is the tag of whatever the work tree holds"):
        in_words_of(immutable, REPOSITORY, dirty)
    with pytest.raises(TagConflict, match="latest would move with every delivery") as caught:
        in_words_of(immutable, REPOSITORY, latest)
    assert "Leave it out of `tags:`" in caught.value.advice
    assert in_words_of(mutable, REPOSITORY, latest) == (f"the tag latest moves from {DIGEST}",)


def test_a_blob_that_is_too_large_is_refused_with_both_sizes(tmp_path: Path) -> None:
    content = ImageContent.of(make_image(tmp_path / "image", {"app.py": bytes(5000)}))
    registry = GenericRegistry(host="registry.example.com", find_credentials=lambda: None)
    largest = max(blob.descriptor.size_bytes for blob in content.blobs)
    require_fitting(content, registry, REPOSITORY)
    require_fitting(content, replace(registry, largest_blob_bytes=largest), REPOSITORY)
    with pytest.raises(ConfigurationError, match=r"a layer of 10\.\d kB .* is larger than") as caught:
        require_fitting(content, replace(registry, largest_blob_bytes=5000), REPOSITORY)
    assert "5.0 kB; nothing was sent" in caught.value.message
