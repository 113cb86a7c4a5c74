"""`pipeline bench`: the benchmark of any image, with the settings of pipeline.yaml where there is one."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import compose_gitops as gitops
from pipeline.cascade import FILE_NAME, Configuration, read_config
from pipeline.compose_benchmark import benchmark
from pipeline.compose_contest import limits, registries, rounds
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError
from pipeline.interface import Policy
from pipeline.model import BenchmarkReport, Verdict
from pipeline.plan import missing
from pipeline.reference import Reference
from policies import load_policies
from policies.performance import PerformanceRule
from stages.models.registry_layers import RegistryLayers
from stages.servers.baseline import Contest, NamedBaseline
from stages.servers.engine import Engine
from stages.servers.found import EngineImage, FoundImage, LayoutImage
from stages.servers.registry_image import RegistryImage

LIMITS: dict[str, object] = {"p99_ms": 0.1, "throughput_rps": 0.1}
ORIGIN = "the command line"
LEAST = {"p99_ms": 1.0}
"""What `--against` is judged by where no rule names a limit."""


@contextmanager
def settings(path: Path, assignments: Sequence[str], environment: str | None) -> Iterator[Configuration]:
    """Lend the configuration of a file; where there is none, one that has only defaults and assignments.

    Raises:
        ConfigurationError: a setting does not fit.
    """
    if path.is_file():
        yield read_config(path, assignments, deployed_to=environment)
        return
    with tempfile.TemporaryDirectory(prefix="pipeline-bench-") as folder:
        bare = Path(folder) / FILE_NAME
        bare.write_text("image: bench\n", encoding="utf-8")
        yield read_config(bare, assignments)


def bench(
    configuration: Configuration,
    name: str,
    against: str | None,
    desk: Desk,
    regression: Sequence[str] = (),
) -> tuple[BenchmarkReport, tuple[Verdict, ...]]:
    """Measure an image, maybe in turn with another one, and judge it by the rules about benchmarks.

    Raises:
        PipelineError: it is not there, cannot be run, or something that is needed is missing.
    """
    judging = judges(configuration, against, regression)
    stage = benchmark(configuration)
    if (error := missing(stage.check(desk))) is not None:
        raise error
    image = find(name, configuration, desk)
    stage = replace(stage, registries=measured_from(stage.registries, image))
    if against is not None:
        plan = rounds(configuration.values.benchmark, limits(judging))
        other = _Known(find(against, configuration, desk))
        stage = replace(stage, contest=Contest(baseline=other, rounds=plan))
    report = stage.measure(image, desk)
    return report, tuple(policy.judge(report) for policy in judging)


def find(name: str, configuration: Configuration, desk: Desk) -> FoundImage:
    """Return the image: a folder with an OCI image layout, else one that the engine has, else a registry's.

    Raises:
        ConfigurationError: the name is none.
        RemoteError: nobody has it.
    """
    if (layout := LayoutImage.find(Path(name))) is not None:
        return layout
    if (there := EngineImage.find(name, Engine(desk.run))) is not None:
        return there
    try:
        reference = Reference.parse(name)
        known = registries(configuration, reference.repository)
    except ValueError as error:
        raise ConfigurationError(
            f"{name} is no image: {error}",
            advice="Name it as the engine or the registry does, or the folder of an OCI image layout.",
        ) from error
    try:
        return NamedBaseline(reference=reference, registries=known).find(desk)
    except RemoteError as error:
        raise RemoteError(
            f"{name} is no image of the engine, nor a folder with an OCI image layout; and {error.message}",
            advice=error.advice or "See `docker image ls`, or name it with its registry.",
        ) from error


def measured_from(known: RegistryLayers | None, image: FoundImage) -> RegistryLayers | None:
    """Return where layers may be, with the registry that an image was found in."""
    if known is None or not isinstance(image, RegistryImage):
        return known
    repositories = dict.fromkeys((image.application.repository, *known.repositories))
    return replace(known, repositories=tuple(repositories))


@dataclass(frozen=True, slots=True)
class _Known:
    """The image to compare with, which was found before any work began."""

    image: FoundImage

    def find(self, desk: Desk) -> FoundImage:
        del desk
        return self.image


def judges(
    configuration: Configuration, against: str | None, regression: Sequence[str]
) -> tuple[Policy, ...]:
    """Return the rules about benchmarks; limits of the command line stand beside them."""
    known = tuple(each for each in gitops.policies(configuration) if each.judges is BenchmarkReport)
    if not regression and (against is None or any(True for _ in limits(known))):
        return known
    wanted = dict(_limit(each) for each in regression) or LIMITS
    rule: dict[str, object] = {
        "rule": "performance",
        "id": "regression",
        "maximum_regression": wanted,
        "least_difference": {metric: least for metric, least in LEAST.items() if metric in wanted},
        "missing_comparison": "fail",  # who names an image to compare with wants to know
    }
    asked = load_policies([rule], configuration.root)
    told = (each.standing_at(ORIGIN) if isinstance(each, PerformanceRule) else each for each in asked)
    return (*known, *told)


def _limit(text: str) -> tuple[str, str]:
    metric, equals, share = text.partition("=")
    if not equals:
        raise ConfigurationError(
            f"--maximum-regression {text}: this limits nothing",
            advice="Write --maximum-regression METRIC=SHARE, such as p99_ms=10%.",
        )
    return metric, share
