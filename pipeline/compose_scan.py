"""The scan of the configuration."""

from datetime import timedelta
from pathlib import Path

from pipeline import compose_gitops as gitops
from pipeline.cascade import Configuration
from pipeline.record import Runs
from stages.registries.connections import Registries
from stages.registries.findings import RegistryFindings
from stages.scan import Scan
from stages.scanners.trivy import PUBLISHED_JAVA, Trivy
from stages.scanners.trivy_database import PUBLISHED


def scan(configuration: Configuration) -> Scan:
    """Return the stage that scans the image."""
    values = configuration.values
    section = values.scan
    database = section.database
    trivy = Trivy(
        program=_program(section.trivy, configuration.root),
        maximum_age=timedelta(days=database.maximum_age_days),
        update=database.update,
        insecure_hosts=values.insecure_registries,
        registries=tuple(repository.host for repository in values.repositories),
        timeout_s=section.timeout_s,
        cache=Runs(configuration.root).cache / "trivy",
        databases=database.repositories or PUBLISHED,
        java_databases=database.java_repositories or PUBLISHED_JAVA,
    )
    return Scan(scanner=trivy, outside=_registry_findings(configuration))


def _registry_findings(configuration: Configuration) -> RegistryFindings | None:
    values = configuration.values
    if not values.scan.registry_findings:
        return None
    registries = Registries(
        repositories=values.repositories,
        insecure=values.insecure_registries,
        options=gitops.options(configuration),
    )
    return RegistryFindings(registries=registries, model_repositories=values.model_repositories)


def _program(name: str | None, root: Path) -> str | None:
    """Return a program's path; a name without a folder is looked up on the PATH."""
    return str(root / Path(name).expanduser()) if name is not None and "/" in name else name
