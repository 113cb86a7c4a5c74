"""The comparison with the deployed image: where that is, how many rounds, and what they are to decide."""

import contextlib
from collections.abc import Iterable, Iterator
from itertools import chain

from pipeline import compose_gitops as gitops
from pipeline.benchmark_section import DEPLOYED, BenchmarkSection
from pipeline.cascade import Configuration
from pipeline.compose_verify import attested, believed
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, Interrupted, PipelineError
from pipeline.interface import Policy
from pipeline.model import BenchmarkReport, RegressionLimit
from pipeline.record import Runs, read_record
from pipeline.reference import Digest, Reference, Repository
from policies.performance import PerformanceRule
from stages.registries.connections import Registries
from stages.servers.baseline import Baseline, Contest, DeployedBaseline, NamedBaseline
from stages.servers.rounds import RoundsPlan


def contest(configuration: Configuration) -> Contest | None:
    """Return how the new image is compared; None where nobody asked for it."""
    section = configuration.values.benchmark
    if section.baseline is None:
        return None
    runs = Runs(configuration.root)
    return Contest(
        baseline=_baseline(configuration, section.baseline),
        rounds=rounds(section, limits(gitops.policies(configuration))),
        recorded=lambda found, desk: chain(
            recorded(runs, found.digests[0]), attested_benchmarks(configuration, found.name, desk)
        ),
    )


def rounds(section: BenchmarkSection, to_decide: Iterable[RegressionLimit] = ()) -> RoundsPlan:
    """Return how many rounds there are, and what they go on for."""
    return RoundsPlan(
        fewest=section.rounds,
        most=section.most_rounds,
        time_limit_s=section.rounds_time_limit_s,
        limits=tuple(to_decide),
    )


def limits(policies: Iterable[Policy]) -> Iterator[RegressionLimit]:
    """Yield what rules want decided by more rounds, also those inside combined rules."""
    for policy in policies:
        if isinstance(policy, PerformanceRule):
            yield from policy.to_decide
        yield from limits(getattr(policy, "policies", ()))


def recorded(runs: Runs, digest: Digest) -> Iterator[BenchmarkReport]:
    """Yield the recorded benchmarks of an image, the newest first."""
    for name in runs.names():
        with contextlib.suppress(ConfigurationError):  # of another version of the pipeline
            for made in read_record(runs.path(name)).made():
                if isinstance(made, BenchmarkReport) and made.digest == digest:
                    yield made


def attested_benchmarks(configuration: Configuration, name: str, desk: Desk) -> Iterator[BenchmarkReport]:
    """Yield what was attested of an image's benchmark: a fresh machine remembers no run of its own.

    Only a signer that `verify:` or `attest:` names is believed; why there is nothing is said at the desk.
    """
    values = configuration.values
    try:
        section = believed(values.attest, values.verify)
    except ConfigurationError:
        return
    image = Reference.parse(name)
    try:
        found = attested(
            image, registries(configuration, image.repository), section, configuration.root, desk
        )
    except Interrupted:
        raise
    except PipelineError as error:
        desk.say(f"no attested benchmark: {error.message.splitlines()[0]}")
        return
    yield from (made for made in found.evidence if isinstance(made, BenchmarkReport))


def registries(configuration: Configuration, *further: Repository) -> Registries:
    """Return how to reach the configured registries, and others beside them."""
    values = configuration.values
    return Registries(
        repositories=tuple(dict.fromkeys((*values.repositories, *values.model_repositories, *further))),
        insecure=values.insecure_registries,
        options=gitops.options(configuration),
    )


def _baseline(configuration: Configuration, named: str) -> Baseline:
    if named == DEPLOYED:
        return DeployedBaseline(
            destination=gitops.destination(configuration), registries=registries(configuration)
        )
    reference = Reference.parse(named)
    return NamedBaseline(reference=reference, registries=registries(configuration, reference.repository))
