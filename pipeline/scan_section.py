"""`scan:` in pipeline.yaml: the scanners and their database."""

from typing import Annotated

from pydantic import Field

from pipeline.section import Number, Seconds, Section, Words


class DatabaseSection(Section):
    """The vulnerability database."""

    repositories: Words = ()
    """OCI repositories of Trivy's database, with tag or digest: one and its mirrors; default: Trivy's own."""
    java_repositories: Words = ()
    """The same for Trivy's index of JARs, which is fetched when there is one in the image."""
    maximum_age_days: Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False), Number] = 7
    """A database that was updated longer ago is an error."""
    update: bool = True
    """Fetch the database when it is missing or old; off: use the one in the cache."""


class ScanSection(Section):
    """The scan of the application layers."""

    trivy: str | None = None
    """The Trivy program; default: found on the PATH, or the one of the extra `trivy`."""
    database: DatabaseSection = DatabaseSection()
    """The vulnerability database."""
    registry_findings: bool = False
    """Count what the registries' own scanners found in the same digest too (ECR, Artifact Registry)."""
    timeout_s: Seconds = 600
    """Time limit in seconds."""
