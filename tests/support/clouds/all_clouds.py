"""All clouds at once: where a delivery to every one of them goes, and who answers for it there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.reference import Repository, Tag
from stages.push import Push
from tests.support.clouds import acr, artifact_registry, ecr
from tests.support.clouds.acr import Azure
from tests.support.clouds.artifact_registry import GoogleCloud
from tests.support.clouds.crane import Crane
from tests.support.clouds.ecr import Amazon
from tests.support.clouds.hub_family import DOCKER_HUB, GHCR
from tests.support.small_image import COMMIT

EVIDENCE = {
    ecr.HOST: "Amazon ECR: DescribeImages",
    artifact_registry.HOST: "Google Artifact Registry: GetDockerImage",
    acr.HOST: "Azure Container Registry: manifest properties",
    DOCKER_HUB.host: "OCI distribution API",
    GHCR.host: "OCI distribution API",
}


@dataclass(frozen=True, slots=True)
class Clouds:
    """All of them, with a new repository in each, and a user who may push."""

    amazon: Amazon
    google_cloud: GoogleCloud
    azure: Azure
    registries: Mapping[str, str]
    """As `registries:` names them, by their hosts."""
    docker: Crane
    """What `docker login` has left on this machine."""

    @property
    def repositories(self) -> Mapping[str, Repository]:
        return {host: Repository(f"{registry}/digits") for host, registry in self.registries.items()}

    @property
    def stage(self) -> Push:
        return Push(
            repositories=tuple(self.repositories.values()),
            layout_folder=Path("/nowhere"),
            tag=Tag(COMMIT),
        )
