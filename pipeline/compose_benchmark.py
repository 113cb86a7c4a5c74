"""The benchmark of the configuration."""

from dataclasses import replace
from pathlib import Path

from pipeline import compose_gitops as gitops
from pipeline.benchmark_section import BenchmarkSection
from pipeline.cascade import Configuration
from pipeline.compose_contest import contest
from pipeline.compose_model import model_of
from pipeline.compose_protocols import protocols
from pipeline.compose_requests import requests_of
from pipeline.load_section import LoadSection, SweepSection
from pipeline.reference import Repository
from stages.benchmark import Benchmark
from stages.gitops.limits import ManifestLimits
from stages.load.closed_loop import ClosedLoop
from stages.load.open_loop import OpenLoop
from stages.load.sweep import SweepPlan
from stages.models.registry_layers import RegistryLayers
from stages.servers.loading import Load
from stages.servers.sidecars import Sidecar


def benchmark(configuration: Configuration) -> Benchmark:
    """Return the stage that measures the model server."""
    section, model = configuration.values.benchmark, model_of(configuration)
    return replace(
        measuring(section, configuration.root),
        files=model.files if model is not None else None,
        weights=model,
        registries=weight_layers(configuration),
        limits=_limits(configuration) if section.resources == "from-manifest" else None,
        platforms=configuration.values.build.platforms,
        contest=contest(configuration),
    )


def measuring(section: BenchmarkSection, root: Path) -> Benchmark:
    """Return the stage as far as the section itself says; files are named relative to `root`."""
    return Benchmark(
        port=section.port,
        protocol=section.protocol,
        protocols=protocols(section.protocol),
        model=section.model,
        request=requests_of(section, root),
        expect=root / section.expect if section.expect else None,
        options=section.options,
        check_answers=section.check_answers,
        tolerance=section.tolerance,
        load=_load(section, section.load),
        further_loads=tuple(_load(section, each) for each in section.further_loads),
        sweep=None if section.sweep is None else _sweep(section.sweep),
        sweep_step_s=section.sweep.step_s if section.sweep is not None else section.duration_s,
        starts=section.starts,
        warmup_s=section.warmup_s,
        readiness_timeout_s=section.readiness_timeout_s,
        request_timeout_s=section.request_timeout_s,
        stop_timeout_s=section.stop_timeout_s,
        memory_limit=section.memory_limit,
        cpus=section.cpus,
        gpus=section.gpus,
        pull_bandwidth=section.pull_bandwidth,
        measure_pull=section.measure_pull,
        sidecars=tuple(Sidecar(**each.model_dump()) for each in section.sidecars),
        environment=section.environment,
        network=section.network,
    )


def weight_layers(configuration: Configuration) -> RegistryLayers:
    """Return where the weights' layers may be, nearer than their source."""
    return RegistryLayers(
        repositories=_with_weights(configuration),
        insecure=configuration.values.insecure_registries,
        options=gitops.options(configuration),
    )


def _limits(configuration: Configuration) -> ManifestLimits:
    return ManifestLimits(destination=gitops.destination(configuration), root=configuration.root)


def _load(section: BenchmarkSection, load: LoadSection) -> Load:
    """Return a load; what it does not say itself, the section's simple keys say."""
    duration_s = load.duration_s or section.duration_s
    if load.concurrency is not None:
        return ClosedLoop(concurrency=load.concurrency, duration_s=duration_s)
    return OpenLoop(rate_rps=load.rate_rps or section.rate_rps, duration_s=duration_s, shape=load.shape)


def _sweep(section: SweepSection) -> SweepPlan:
    return SweepPlan(
        budget_p99_ms=section.p99_ms,
        begin_rps=section.begin_rps,
        highest_rps=section.highest_rps,
        within=section.within,
    )


def _with_weights(configuration: Configuration) -> tuple[Repository, ...]:
    """Return the repositories that may hold the weights' layers, the likeliest first."""
    values = configuration.values
    return (*values.model_repositories, *values.repositories, *gitops.mounts(configuration))
