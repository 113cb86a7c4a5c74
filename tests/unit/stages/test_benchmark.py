"""The benchmark stage, as far as it needs no engine."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.benchmark_section import BenchmarkSection
from pipeline.compose_benchmark import measuring
from pipeline.desk import Desk
from pipeline.interface import Perishable
from pipeline.model import Problem
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


@pytest.mark.parametrize(
    ("protocol", "options", "request_", "words"),
    [
        ("http", {"status": "ok"}, "{}", "status 'ok' is no number"),
        ("openai", {}, '{"inputs": []}', "request.json is no request of the OpenAI API"),
        ("v2-binary", {}, '{"inputs": [{"name": "x"}]}', "request.json: an input has no 'datatype'"),
        ("v2-grpc", {}, "{}", "request.json has no `inputs`"),
    ],
)
def test_what_a_protocol_could_not_send_is_told_before_any_work(  # noqa: PLR0913, PLR0917 - the cases'
    protocol: str,
    options: dict[str, str],
    request_: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nowhere.sock")
    (tmp_path / "request.json").write_text(request_)
    stage = Benchmark(port=8080, protocol=protocol, options=options, request=tmp_path / "request.json")
    found = {check.subject: check for check in stage.check(Desk(folder=tmp_path, cache=tmp_path))}
    asked = found["inference request"]
    assert asked.problem is Problem.CONFIGURATION
    assert words in asked.found
    fitting = replace(stage, protocol="v2", options={})
    assert all(
        check.passed
        for check in fitting.check(Desk(folder=tmp_path, cache=tmp_path))
        if check.subject == "inference request"
    )
