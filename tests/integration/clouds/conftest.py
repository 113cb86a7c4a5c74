"""The clouds that the tests in this folder run against: one internet for the session, and a client of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.model import BuiltImage
from tests.support.clouds.acr import Azure, running_acr
from tests.support.clouds.artifact_registry import GoogleCloud, running_artifact_registry
from tests.support.clouds.crane import Crane, make_crane
from tests.support.clouds.ecr import Amazon, running_ecr
from tests.support.clouds.hub_family import Kin, Running, running_family
from tests.support.clouds.internet import Internet, running_internet
from tests.support.small_image import make_image

WEIGHTS = hashlib.shake_256(b"weights of a cloud").digest(3_000_000)
CREDENTIALS = ("AWS_", "GOOGLE_", "CLOUDSDK_", "AZURE_", "REGISTRY_", "ACTIONS_ID_TOKEN")


@pytest.fixture(scope="session")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    """Real host names, answered on this machine and by nobody else."""
    with running_internet(tmp_path_factory.mktemp("internet")) as running:
        yield running


@pytest.fixture
def online(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> Internet:
    """The internet as this process's own: proxy and certificate authority are set in its environment."""
    for name, value in internet.environment.items():
        monkeypatch.setenv(name, value)
    return internet


@pytest.fixture
def crane(internet: Internet, tmp_path: Path) -> Crane:
    """A registry client that is not ours, on the same internet and without a login."""
    return make_crane(tmp_path / "crane", internet.environment)


@pytest.fixture(scope="session")
def amazon(internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amazon]:
    """Amazon ECR with IAM and STS, for the whole session: a test makes repositories of its own."""
    with running_ecr(internet, tmp_path_factory.mktemp("amazon")) as running:
        yield running


@pytest.fixture(scope="session")
def google_cloud(internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleCloud]:
    """Google Artifact Registry with its token services, for the whole session."""
    with running_artifact_registry(internet, tmp_path_factory.mktemp("google")) as running:
        yield running


@pytest.fixture(scope="session")
def microsoft_azure(internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    """Azure Container Registry with Entra, for the whole session."""
    with running_acr(internet, tmp_path_factory.mktemp("azure")) as running:
        yield running


@pytest.fixture(scope="session")
def hub_family(
    internet: Internet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Kin, Running]]:
    """Docker Hub, GHCR, GitLab and Harbor, for the whole session."""
    with running_family(internet, tmp_path_factory.mktemp("hub-family")) as running:
        yield running


@pytest.fixture(autouse=True)
def no_credentials(online: Internet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let a test begin with no credentials and nothing of the machine's own: it gives what it wants found."""
    trusted = set(online.environment)
    for name in list(os.environ):
        if (name.startswith(CREDENTIALS) or name == "CI") and name not in trusted:
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A stage's desk."""
    (tmp_path / "desk").mkdir()
    desk = Desk(folder=tmp_path / "desk", cache=tmp_path / "cache")
    yield desk
    desk.clear()


@pytest.fixture
def image(tmp_path: Path) -> BuiltImage:
    """A small image with a layer of weights."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(WEIGHTS)
    return make_image(tmp_path / "image", {"app.py": b"1"}, model=tmp_path / "model")
