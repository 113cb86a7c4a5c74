"""The benchmark of the configuration."""

from pipeline import compose_gitops as gitops
from pipeline.cascade import Configuration
from pipeline.compose_model import model_of
from pipeline.reference import Repository
from stages.benchmark import Benchmark
from stages.load.open_loop import OpenLoop
from stages.models.registry_layers import RegistryLayers


def benchmark(configuration: Configuration) -> Benchmark:
    """Return the stage that measures the model server."""
    section, model = configuration.values.benchmark, model_of(configuration)
    return Benchmark(
        files=model.files if model is not None else None,
        weights=model,
        registries=RegistryLayers(
            repositories=_with_weights(configuration),
            insecure=configuration.values.insecure_registries,
            options=gitops.options(configuration),
        ),
        port=section.port,
        protocol=section.protocol,
        model=section.model,
        request=configuration.root / section.request if section.request else None,
        load=OpenLoop(rate_rps=section.rate_rps, duration_s=section.duration_s),
        warmup_s=section.warmup_s,
        readiness_timeout_s=section.readiness_timeout_s,
        request_timeout_s=section.request_timeout_s,
        memory_limit=section.memory_limit,
        cpus=section.cpus,
        environment=section.environment,
        network=section.network,
        platforms=configuration.values.build.platforms,
    )


def _with_weights(configuration: Configuration) -> tuple[Repository, ...]:
    """Return the repositories that may hold the weights' layers, the likeliest first."""
    values = configuration.values
    return (*values.model_repositories, *values.repositories, *gitops.mounts(configuration))
