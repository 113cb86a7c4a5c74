"""The scan of the configuration."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from pipeline import compose_gitops as gitops
from pipeline.cascade import Configuration
from pipeline.compose_benchmark import weight_layers
from pipeline.compose_model import model_of
from pipeline.compose_scanners import OURS, scanner_of
from pipeline.compose_verify import verifier_of
from pipeline.record import Runs
from pipeline.scan_section import ProgramSection
from stages.registries.connections import Registries
from stages.registries.findings import RegistryFindings
from stages.scan import Scan
from stages.scanners.baseline import DeployedBaseline
from stages.scanners.hadolint import Hadolint
from stages.scanners.interface import Scanner, ScannerOptions
from stages.scanners.known_exploited import KnownExploited
from stages.scanners.model_files.addition import ModelFiles
from stages.scanners.model_files.application import Application
from stages.scanners.model_files.weights import Weights
from stages.scanners.program import Choice
from stages.scanners.sbom import Sboms, Shelf
from stages.scanners.trivy import PUBLISHED_JAVA, Trivy
from stages.scanners.trivy_database import PUBLISHED


def scan(configuration: Configuration) -> Scan:
    """Return the stage that scans the image."""
    scanner = _scanner(configuration)
    return Scan(
        scanner=scanner,
        outside=_registry_findings(configuration),
        sboms=_sboms(configuration),
        additions=(
            *_baseline(configuration, scanner),
            *_known_exploited(configuration),
            _hadolint(configuration),
            *_model_files(configuration),
        ),
    )


def _scanner(configuration: Configuration) -> Scanner:
    """Return the scanner of packages that the configuration names."""
    section, name = configuration.values.scan, configuration.values.scan.scanner
    if name == OURS:
        return _trivy(configuration)
    options = ScannerOptions(
        cache=Runs(configuration.root).cache / f"scanner-{name}",
        look_for=frozenset(section.look_for),
        databases=section.database.repositories,
        maximum_age=timedelta(days=section.database.maximum_age_days),
        update=section.database.update,
        lists=section.sbom,
        timeout_s=section.timeout_s,
    )
    return scanner_of(name, options)


def _trivy(configuration: Configuration) -> Trivy:
    values = configuration.values
    section = values.scan
    database = section.database
    chosen = _choice(section.trivy, configuration.root)
    return Trivy(
        program=chosen.program,
        sha256=chosen.sha256,
        look_for=frozenset(section.look_for),
        lists=section.sbom,
        maximum_age=timedelta(days=database.maximum_age_days),
        update=database.update,
        insecure_hosts=values.insecure_registries,
        registries=tuple(repository.host for repository in values.repositories),
        timeout_s=section.timeout_s,
        cache=Runs(configuration.root).cache / "trivy",
        databases=database.repositories or PUBLISHED,
        java_databases=database.java_repositories or PUBLISHED_JAVA,
    )


def _sboms(configuration: Configuration) -> Sboms:
    section, model = configuration.values.model, model_of(configuration)
    lock = model.lock if model is not None else None
    revision = (lock.revision if lock is not None else None) or (section.revision if section else None)
    return Sboms(
        shelf=Shelf(Runs(configuration.root).cache),
        formats=configuration.values.scan.sbom,
        files=model.files if model is not None else None,
        revision=revision or "",
    )


def _baseline(configuration: Configuration, scanner: Scanner) -> Iterator[DeployedBaseline]:
    if configuration.values.scan.baseline == "deployed":
        yield DeployedBaseline(
            scanner=scanner,
            destination=gitops.destination(configuration),
            registries=_registries(configuration),
            shelf=Shelf(Runs(configuration.root).cache),
            verifier=verifier_of(configuration),
        )


def _known_exploited(configuration: Configuration) -> Iterator[KnownExploited]:
    if (source := configuration.values.scan.known_exploited) is not None:
        path = source if "://" in source else str(configuration.root / Path(source).expanduser())
        yield KnownExploited(source=path, cache=Runs(configuration.root).cache)


def _hadolint(configuration: Configuration) -> Hadolint:
    said, root, build = configuration.values.scan.hadolint, configuration.root, configuration.values.build
    named = said if isinstance(said, ProgramSection) or (isinstance(said, str) and said != "auto") else None
    return Hadolint(
        dockerfile=root / build.context / build.dockerfile,
        root=root,
        choice=_choice(named, root),
        required=said is True or named is not None,
        switched_off=said is False,
    )


def _model_files(configuration: Configuration) -> Iterator[ModelFiles]:
    if configuration.values.scan.model_files:
        model, timeout_s = model_of(configuration), configuration.values.scan.timeout_s
        weights = Weights(
            files=model.files if model is not None else None,
            registries=weight_layers(configuration),
            timeout_s=timeout_s,
        )
        yield ModelFiles(weights=weights, application=Application(timeout_s=timeout_s), model=model)


def _registry_findings(configuration: Configuration) -> RegistryFindings | None:
    values = configuration.values
    if not values.scan.registry_findings:
        return None
    registries = _registries(configuration)
    return RegistryFindings(registries=registries, model_repositories=values.model_repositories)


def _registries(configuration: Configuration) -> Registries:
    values = configuration.values
    return Registries(
        repositories=values.repositories,
        insecure=values.insecure_registries,
        options=gitops.options(configuration),
    )


def _choice(said: str | ProgramSection | None, root: Path) -> Choice:
    if not isinstance(said, ProgramSection):
        return Choice(program=_program(said, root))
    return Choice(program=_program(said.program, root), sha256=said.sha256)


def _program(name: str | None, root: Path) -> str | None:
    """Return a program's path; a name without a folder is looked up on the PATH."""
    return str(root / Path(name).expanduser()) if name is not None and "/" in name else name
