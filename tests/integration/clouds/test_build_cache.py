"""The build cache's repository in Amazon ECR, where tags may not move and nothing is made by a push."""

from __future__ import annotations

from uuid import uuid4

import pytest

from pipeline.desk import Desk
from pipeline.reference import Repository, Tag
from stages.buildkit.builder import Builder
from stages.buildkit.registry_cache import RegistryCache
from stages.registries.connections import Registries
from stages.registries.options import RegistryOptions
from tests.support.clouds.ecr import HOST, Amazon

BUILDER = Builder(name="own", driver="docker-container", buildkit_version="v0.25.1")
MAIN = Tag("main")


@pytest.fixture
def cloud(amazon: Amazon, monkeypatch: pytest.MonkeyPatch) -> Amazon:
    for name, value in amazon.plane.administrator.environment.items():
        monkeypatch.setenv(name, value)
    return amazon


def cache(name: str, *, create: bool = False) -> RegistryCache:
    repository = Repository(f"{HOST}/{name}")
    options = {repository: RegistryOptions(create=create, immutable=False)}
    registries = Registries(repositories=(repository,), options=options)
    return RegistryCache(repository=repository, registries=registries, tag=MAIN, read=(MAIN,))


def make_repository(cloud: Amazon, mutability: str) -> str:
    name = f"models/{uuid4().hex[:12]}-cache"
    cloud.plane.client("ecr").create_repository(repositoryName=name, imageTagMutability=mutability)
    return name


def test_immutable_tags_are_told_before_the_build_and_nothing_is_written(cloud: Amazon, desk: Desk) -> None:
    kept = cache(make_repository(cloud, "IMMUTABLE"))
    check = kept.check(BUILDER, desk)
    assert check.passed  # a cache is no reason to fail
    assert "has immutable tags" in check.found
    assert "`build.cache`" in check.found
    assert kept.use(BUILDER, desk).written == {}


def test_a_repository_whose_tags_move_is_written_to_with_amazons_password(cloud: Amazon, desk: Desk) -> None:
    kept = cache(make_repository(cloud, "MUTABLE"))
    use = kept.use(BUILDER, desk)
    (target,) = use.written.values()
    assert target["ref"] == f"{kept.repository}:main"
    assert (target["image-manifest"], target["oci-mediatypes"]) == ("true", "true")  # or ECR refuses it
    assert use.login is not None
    host, credentials = use.login
    assert (host, credentials.username) == (HOST, "AWS")
    assert credentials.secret not in desk.redact(f"password {credentials.secret}")


def test_a_repository_is_made_with_tags_that_move_only_where_that_is_asked_for(
    cloud: Amazon, desk: Desk
) -> None:
    name = f"models/{uuid4().hex[:12]}-cache"
    missing = cache(name).use(BUILDER, desk)
    assert missing.written == {}
    assert "does not exist" in missing.notes[0]
    assert "aws ecr create-repository" in missing.notes[0]
    assert "IMMUTABLE" not in missing.notes[0]

    making = cache(name, create=True)
    assert "written to" in making.check(BUILDER, desk).found
    client = cloud.plane.client("ecr")
    with pytest.raises(client.exceptions.RepositoryNotFoundException):  # a plan makes nothing
        client.describe_repositories(repositoryNames=[name])
    assert making.use(BUILDER, desk).written
    (made,) = client.describe_repositories(repositoryNames=[name])["repositories"]
    assert made["imageTagMutability"] == "MUTABLE"
