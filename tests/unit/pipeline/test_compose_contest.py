"""The comparison of the configuration: what is compared, how often, and what the rounds are to decide."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.cascade import read_config
from pipeline.compose_bench import settings
from pipeline.compose_contest import contest, limits, recorded
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.model import RegressionLimit
from pipeline.record import Record, Runs, StageRecord, Status
from pipeline.reference import Digest
from policies import load_policies
from stages.servers.baseline import Contest, DeployedBaseline, NamedBaseline
from stages.servers.found import EngineImage
from tests.unit.policies.evidence import benchmark

LIMIT = RegressionLimit(metric="p99_ms", relative=0.1, least=1.0)
RULE = "{rule: performance, maximum_regression: {p99_ms: 10%}, least_difference: {p99_ms: 1}"


def made(folder: Path, benchmark: str, rule: str = f"{RULE}}}") -> Contest | None:
    path = folder / "pipeline.yaml"
    path.write_text(f"image: digits\nregistries: [ghcr.io/team]\n{benchmark}\npolicies: [{rule}]\n")
    return contest(read_config(path, environment={}))


def test_nothing_is_compared_unless_asked_for(tmp_path: Path) -> None:
    assert made(tmp_path, "benchmark: {port: 9000}") is None


def test_what_is_deployed_and_what_more_rounds_are_to_decide(tmp_path: Path) -> None:
    found = made(tmp_path, "benchmark: {baseline: deployed, rounds: 7, rounds_time_limit_s: 60}")
    assert found is not None
    assert isinstance(found.baseline, DeployedBaseline)
    assert (found.rounds.fewest, found.rounds.most, found.rounds.time_limit_s) == (7, 15, 60)
    assert found.rounds.limits == (LIMIT,)


def test_without_more_rounds_the_fewest_are_enough(tmp_path: Path) -> None:
    found = made(tmp_path, "benchmark: {baseline: deployed}", f"{RULE}, inconclusive: warn}}")
    assert found is not None
    assert found.rounds.limits == ()


def test_a_named_image_is_read_with_the_login_of_its_registry(tmp_path: Path) -> None:
    found = made(tmp_path, "benchmark: {baseline: 'ghcr.io/other/digits:stable'}")
    assert found is not None
    assert isinstance(found.baseline, NamedBaseline)
    assert found.baseline.reference.repository in found.baseline.registries.repositories
    with pytest.raises(ConfigurationError, match=r"pipeline.yaml:3: benchmark.baseline"):
        made(tmp_path, "benchmark: {baseline: 'Not An Image'}")


def test_rules_inside_rules_count_too() -> None:
    rule = {"rule": "performance", "maximum_regression": {"p99_ms": 0.1}, "least_difference": {"p99_ms": 1}}
    policies = load_policies([{"rule": "any_of", "rules": [rule]}], Path())
    assert tuple(limits(policies)) == (LIMIT,)


def test_the_records_of_a_digest_are_found_the_newest_first(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    for name, rate_rps in (("20260101", 10.0), ("20260102", 20.0)):
        report = benchmark().model_copy(update={"rate_rps": rate_rps})
        stage = StageRecord(
            name="benchmark",
            gives="BenchmarkReport",
            status=Status.PASSED,
            artifact=report.model_dump(mode="json"),
        )
        record = Record(run=name, started_at=datetime(2026, 1, 1, tzinfo=UTC), stages=(stage,))
        (runs.create(name) / "record.json").write_text(record.model_dump_json())
    assert [one.rate_rps for one in recorded(runs, benchmark().digest)] == [20, 10]
    assert not list(recorded(runs, Digest.of(b"another")))
    found = made(tmp_path, "benchmark: {baseline: deployed}")
    assert found is not None
    known = found.recorded(EngineImage("digits", benchmark().digest), Desk(folder=tmp_path, cache=tmp_path))
    assert [one.rate_rps for one in known] == [20, 10]


def test_a_benchmark_needs_no_pipeline_yaml(tmp_path: Path) -> None:
    with settings(tmp_path / "pipeline.yaml", ["benchmark.port=9000"], None) as configuration:
        assert configuration.values.benchmark.port == 9000
        folder = configuration.root
    assert not folder.exists()
