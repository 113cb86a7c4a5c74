"""The push stage to all clouds at once: what fails in one, what one refuses, and what the doctor finds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import RemoteError
from pipeline.model import BuiltImage, ImageTag, PushedImage
from pipeline.reference import Tag
from tests.support.clouds import acr, artifact_registry, ecr
from tests.support.clouds.all_clouds import Clouds
from tests.support.clouds.crane import Crane
from tests.support.clouds.front import Asked
from tests.support.clouds.hub_family import GHCR
from tests.support.small_image import COMMIT


def test_one_that_fails_in_mid_push_hides_no_other_and_a_second_run_brings_it_the_rest(
    clouds: Clouds, image: BuiltImage, desk: Desk, crane: Crane
) -> None:
    clouds.amazon.ecr.denied.add("ecr:PutImage")  # after the layers
    clouds.azure.acr.expire_at = "PUT /blobs/"  # and a token that ends meanwhile is no failure at all
    with pytest.raises(RemoteError, match="1 of 5 pushes failed") as caught:
        clouds.stage.run(Artifacts(image), desk)
    made = caught.value.made
    assert isinstance(made, PushedImage)
    (failure,) = made.failures
    assert failure.repository == clouds.repositories[ecr.HOST]
    assert "AWS does not allow ecr:PutImage" in failure.message
    assert "Allow ecr:PutImage in the IAM policy" in caught.value.advice
    assert [line.count("pushed as") for line in caught.value.message.splitlines()] == [0, 0, 1, 1, 1, 1]
    clouds.amazon.ecr.denied.clear()
    again = clouds.stage.run(Artifacts(image), desk)
    assert [each.bytes_sent for each in again.references] == [0] * 5  # the layers were there already
    assert [each.tag_existed for each in again.references] == [False, True, True, True, True]
    assert crane("digest", f"{clouds.repositories[ecr.HOST]}:{COMMIT}") == image.digest


def test_a_tag_that_moves_is_refused_in_the_plan_where_tags_are_immutable(
    clouds: Clouds, image: BuiltImage, desk: Desk, crane: Crane
) -> None:
    tags = (ImageTag(tag=Tag("v1")), ImageTag(tag=Tag("latest"), moves=True))
    checks = replace(clouds.stage, further_tags=tags).check(desk)[1:]
    refused = [check.subject.removeprefix("registry ") for check in checks if not check.passed]
    assert refused == [clouds.repositories[ecr.HOST], clouds.repositories[artifact_registry.HOST]]
    assert all("latest would move with every delivery" in check.found for check in checks[:2])
    mutable = tuple(clouds.repositories[host] for host in (acr.HOST, GHCR.host))
    stage = replace(clouds.stage, repositories=mutable, further_tags=tags)
    stage.run(Artifacts(image), desk)
    for repository in mutable:
        assert {crane("digest", f"{repository}:{tag}") for tag in (COMMIT, "v1", "latest")} == {image.digest}


def test_the_doctor_writes_to_all_and_leaves_nothing(clouds: Clouds, desk: Desk) -> None:
    def sent(asked: list[Asked]) -> list[str]:
        return [
            each.method for each in asked if each.method not in {"GET", "HEAD"} and "/blobs/" in each.path
        ]

    checks = clouds.stage.diagnose(desk, write=True)
    assert all(check.passed for check in checks), checks
    found = {check.subject.removeprefix("registry ").partition("/")[0]: check.found for check in checks}
    assert set(found) == set(clouds.repositories)
    took = {host: words.partition("took ")[2] for host, words in found.items()}
    assert {took[host] for host in (ecr.HOST, artifact_registry.HOST)} == {
        "1 kB, and the upload was cancelled"
    }
    assert took[acr.HOST].startswith("1 kB; to cancel it takes the right to delete"), "which AcrPush has not"
    assert "its tags are immutable" in found[ecr.HOST]
    assert "blobs are not mounted here" in found[ecr.HOST]
    for registry in (clouds.amazon.registry, clouds.google_cloud.registry):
        assert sent(registry.asked) == ["POST", "PATCH", "DELETE"]
