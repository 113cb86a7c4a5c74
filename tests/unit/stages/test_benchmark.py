"""The benchmark stage, as far as it needs no engine."""

from pipeline.interface import Perishable
from stages.benchmark import Benchmark
from tests.unit.policies.evidence import benchmark


def test_numbers_that_must_not_be_trusted_are_measured_again() -> None:
    """The advice for them is to run again: taking the recorded ones would make it useless."""
    stage = Benchmark(port=8080)
    assert isinstance(stage, Perishable)
    assert stage.usable(benchmark())
    assert not stage.usable(benchmark(invalid=("the load generator was late",)))
