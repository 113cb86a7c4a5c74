"""A shift of requests is for the image that was looked at, whatever has come meanwhile."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import ManifestRefused
from pipeline.reference import Digest, Reference, Repository, Tag
from stages.gitops.order import Rule
from stages.gitops.shift import ShiftedEdit
from stages.manifests.interface import NewImage, Target, Traffic
from stages.manifests.tree import Folder
from stages.oci.order_key import OrderKey
from stages.registries.deployed import Deployed

REPOSITORY = Repository("registry.example.com/team/digits")
WATCHED, OTHER = Digest.of(b"watched"), Digest.of(b"other")
SERVICE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
spec:
  predictor:
    canaryTrafficPercent: 10
    containers: [{{image: "{image}"}}]
"""


def _find(reference: Reference) -> Deployed:
    raise AssertionError(f"nobody has to ask for {reference}")


def _shift() -> ShiftedEdit:
    target = Target(path="service.yaml", traffic=Traffic(50, "shift"))
    image = NewImage(repository=REPOSITORY, tag=Tag("v2"), digest=WATCHED)
    key = OrderKey.at(datetime(2026, 11, 22, tzinfo=UTC), "4f9c1d2e")
    return ShiftedEdit(((target, image),), Rule(key=key, level="ignore", find=_find))


def _tree(folder: Path, digest: Digest) -> Folder:
    (folder / "service.yaml").write_text(SERVICE.format(image=f"{REPOSITORY}:v1@{digest}"))
    return Folder(folder)


def test_the_image_stays_as_it_is_written(tmp_path: Path) -> None:
    (file,) = _shift()(_tree(tmp_path, WATCHED))
    assert file.after == file.before.replace(b"Percent: 10", b"Percent: 50")


def test_another_image_that_came_meanwhile_does_not_get_the_requests(tmp_path: Path) -> None:
    with pytest.raises(ManifestRefused, match="by now, and no longer") as caught:
        _shift()(_tree(tmp_path, OTHER))
    assert "run the command again" in caught.value.advice
