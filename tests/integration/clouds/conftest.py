"""The clouds that the tests in this folder run against: one internet for the session, and a client of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.desk import Desk
from pipeline.model import BuiltImage
from stages.registries import recognise
from tests.support.clouds import acr, artifact_registry, ecr
from tests.support.clouds.acr import NOBODY, Azure, running_acr
from tests.support.clouds.all_clouds import Clouds
from tests.support.clouds.artifact_registry import GoogleCloud, running_artifact_registry
from tests.support.clouds.crane import Crane, make_crane
from tests.support.clouds.ecr import Amazon, running_ecr
from tests.support.clouds.google import PROJECT
from tests.support.clouds.hub_family import (
    DOCKER_HUB,
    GHCR,
    PASSWORD,
    WRITER,
    Kin,
    Running,
    running_family,
)
from tests.support.clouds.internet import Internet, running_internet
from tests.support.small_image import make_image

WEIGHTS = hashlib.shake_256(b"weights of a cloud").digest(3_000_000)
DOCKER_HUB_KEY = "https://index.docker.io/v1/"
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


@pytest.fixture
def clouds(  # noqa: PLR0913, PLR0917 - that is what all of them are
    internet: Internet,
    amazon: Amazon,
    google_cloud: GoogleCloud,
    microsoft_azure: Azure,
    hub_family: Mapping[Kin, Running],
    crane: Crane,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Clouds]:
    """A new repository in every cloud, and in the environment the logins of somebody who may push to it."""
    name = uuid4().hex[:12]
    amazon.plane.client("ecr").create_repository(
        repositoryName=f"models/{name}/digits", imageTagMutability="IMMUTABLE"
    )
    location = artifact_registry.HOST.removesuffix("-docker.pkg.dev")
    google_cloud.google.make_repository(location, f"models-{name}", immutable=True)
    account = google_cloud.google.make_account()
    (tmp_path / "google.json").write_text(json.dumps(account.document))
    docker = Crane(tmp_path / "docker", {})
    docker.folder.mkdir()
    for key in (DOCKER_HUB_KEY, GHCR.host):
        docker.log_in(key, WRITER, PASSWORD)
        crane.log_in(key, WRITER, PASSWORD)
    environment = {
        **amazon.plane.administrator.environment,
        **microsoft_azure.add("AcrPush").environment,
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "google.json"),
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "NO_GCE_CHECK": "true",
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    crane.log_in(ecr.HOST, "AWS", amazon.ecr.password())
    crane.log_in(artifact_registry.HOST, "oauth2accesstoken", google_cloud.google.mint(account))
    azure = recognise(acr.HOST).credentials()
    assert azure is not None
    crane.log_in(acr.HOST, NOBODY, azure.secret)
    paths = {
        ecr.HOST: f"models/{name}",
        artifact_registry.HOST: f"{PROJECT}/models-{name}",
        acr.HOST: f"models/{name}",
        DOCKER_HUB.host: f"team-{name}",
        GHCR.host: f"team/{name}",
    }
    internet.proxy.refused.clear()
    registries = {host: f"{host}/{path}" for host, path in paths.items()}
    yield Clouds(amazon, google_cloud, microsoft_azure, registries, docker)
    amazon.ecr.denied.clear()
    microsoft_azure.acr.expire_at = None
    google_cloud.google.repositories.clear()
    for asked in (amazon.registry, google_cloud.registry, microsoft_azure.registry):
        asked.asked.clear()
    for kin in hub_family.values():
        kin.rules.reset()
        kin.front.asked.clear()
        kin.store.asked.clear()
    assert internet.proxy.refused == []  # nothing was asked of anybody else
