"""The benchmark stage, as far as it needs no engine."""

from pathlib import Path

from pipeline.benchmark_section import BenchmarkSection
from pipeline.compose_benchmark import measuring
from pipeline.interface import Perishable
from stages.benchmark import Benchmark
from stages.servers import PROTOCOLS
from stages.servers.serving import Serving
from tests.unit.policies.evidence import benchmark


def test_numbers_that_must_not_be_trusted_are_measured_again() -> None:
    """The advice for them is to run again: taking the recorded ones would make it useless."""
    stage = Benchmark(port=8080)
    assert isinstance(stage, Perishable)
    assert stage.usable(benchmark())
    assert not stage.usable(benchmark(invalid=("the load generator was late",)))


def test_the_tolerance_of_the_configuration_comes_to_the_server_that_is_asked() -> None:
    assert measuring(BenchmarkSection(tolerance=0.01), Path()).tolerance == 0.01
    assert (
        measuring(BenchmarkSection(), Path()).tolerance == Serving(port=1, protocol=PROTOCOLS["v2"]).tolerance
    )
