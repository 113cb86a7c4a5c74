import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.reference import Digest, Reference, Repository, Tag

HEX = "0123456789abcdef" * 4


def test_a_digest_is_of_the_bytes_as_they_are() -> None:
    assert Digest.of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "text", ["", "sha256:", f"sha256:{HEX[:-1]}", f"sha256:{HEX.upper()}", f"md5:{HEX}", f" sha256:{HEX}"]
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a digest"):
        Digest(text)


@pytest.mark.parametrize("text", ["1.20", "a" * 128, "_x", "ABC-dirty"])
def test_tags(text: str) -> None:
    assert Tag(text) == text


@pytest.mark.parametrize("text", ["", ".x", "-x", "a" * 129, "a/b", "a:b", "a b", "a\n"])
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a tag"):
        Tag(text)


def test_a_repository_has_a_host_with_its_port() -> None:
    repository = Repository("localhost:5001/models/digits")
    assert (repository.host, repository.path) == ("localhost:5001", "models/digits")
    assert repository.child("cache") == "localhost:5001/models/digits/cache"


@pytest.mark.parametrize(
    "text", ["digits", "Localhost/Digits", "h/a//b", "h/", "/a", "h:port/a", "http://h/a", "h/a:1"]
)
def test_what_is_no_repository_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a repository"):
        Repository(text)


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        ("python", "docker.io/library/python", None, None),
        ("python:3.11-slim", "docker.io/library/python", "3.11-slim", None),
        ("team/model", "docker.io/team/model", None, None),
        ("index.docker.io/team/model:1", "docker.io/team/model", "1", None),
        ("localhost/model", "localhost/model", None, None),
        ("localhost:5001/model", "localhost:5001/model", None, None),
        (f"localhost:5001/a/b:1@sha256:{HEX}", "localhost:5001/a/b", "1", f"sha256:{HEX}"),
        (f"ghcr.io/a/b@sha256:{HEX}", "ghcr.io/a/b", None, f"sha256:{HEX}"),
    ],
)
def test_references(text: str, repository: str, tag: str | None, digest: str | None) -> None:
    reference = Reference.parse(text)
    assert (reference.repository, reference.tag, reference.digest) == (repository, tag, digest)
    assert str(reference) == text


@pytest.mark.parametrize("text", ["", ":1", "a@", "a@sha256:1", "A/b", "a::1", "${IMAGE}"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        Reference.parse(text)


def test_values_pass_through_json_as_their_own_types() -> None:
    adapter = TypeAdapter(Tag)
    assert type(adapter.validate_json(adapter.dump_json(Tag("a")))) is Tag
    with pytest.raises(ValidationError, match="is not a tag"):
        adapter.validate_python("a b")
