"""Where a run is about to send what it has."""

from pydantic import Field

from pipeline.model.base import Artifact
from pipeline.reference import Repository


class Destinations(Artifact):
    """Where a stage is about to send what it has: judged before anything starts."""

    stage: str
    repositories: tuple[Repository, ...] = Field(default=(), description="that get the image")
    gitops: str | None = Field(
        default=None, description="address of the GitOps repository that is written to, without password"
    )
    gitops_branch: str | None = None
    targets: tuple[str, ...] = Field(default=(), description="paths of the manifests that are edited there")
