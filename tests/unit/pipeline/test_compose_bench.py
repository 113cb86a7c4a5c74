"""What judges a benchmark of the command line: the rules that there are, and the limits that it names."""

from pathlib import Path

import pytest

from pipeline.cli import COMMANDS
from pipeline.commands.benching import assignments
from pipeline.compose_bench import judges, measured_from, settings
from pipeline.compose_contest import limits
from pipeline.errors import ConfigurationError
from pipeline.model import RegressionLimit, Verdict
from pipeline.parser import make_parser
from pipeline.reference import Digest, Reference, Repository
from stages.models.registry_layers import RegistryLayers
from stages.registries.connections import Registries
from stages.servers.found import EngineImage
from stages.servers.registry_image import RegistryImage
from tests.unit.policies.evidence import benchmark

OLD = "registry.example.com/digits:old"
P99 = RegressionLimit(metric="p99_ms", relative=0.1, least=1.0)
THROUGHPUT = RegressionLimit(metric="throughput_rps", relative=0.1)


def judged(folder: Path, against: str | None, *regression: str) -> tuple[set[RegressionLimit], list[Verdict]]:
    with settings(folder / "pipeline.yaml", [], None) as configuration:
        found = judges(configuration, against, regression)
    return set(limits(found)), [each.judge(benchmark()) for each in found]


def test_alone_the_rules_judge_and_beside_another_one_there_are_limits(tmp_path: Path) -> None:
    assert judged(tmp_path, None)[0] == set()
    found, verdicts = judged(tmp_path, OLD)
    assert found == {P99, THROUGHPUT}
    assert verdicts[-1].refuses  # nothing was compared
    assert verdicts[-1].origin == "the command line"


def test_what_the_command_line_limits_is_all_that_is_limited(tmp_path: Path) -> None:
    found, _ = judged(tmp_path, OLD, "p50_ms=20%", "peak_memory_bytes=0.3")
    assert found == {
        RegressionLimit(metric="p50_ms", relative=0.2),
        RegressionLimit(metric="peak_memory_bytes", relative=0.3),
    }


def test_limits_of_the_projects_own_rules_are_enough(tmp_path: Path) -> None:
    rule = "{rule: performance, maximum_regression: {p95_ms: 5%}}"
    (tmp_path / "pipeline.yaml").write_text(f"image: digits\npolicies: [{rule}]\n")
    assert judged(tmp_path, OLD)[0] == {RegressionLimit(metric="p95_ms", relative=0.05)}


@pytest.mark.parametrize(("limit", "words"), [("p99_ms", "this limits nothing"), ("p98_ms=10%", "p98_ms")])
def test_a_limit_that_is_none_is_refused(tmp_path: Path, limit: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        judged(tmp_path, OLD, limit)


@pytest.mark.parametrize("said", ["request: a.json, expect: b.json", "request: [{file: a.json}]"])
def test_a_request_of_the_command_line_has_no_answer_of_the_projects_own(tmp_path: Path, said: str) -> None:
    (tmp_path / "pipeline.yaml").write_text(f"image: digits\nbenchmark: {{{said}}}\n")
    options = make_parser(COMMANDS).parse_args(["bench", "digits", "--request", "other.json"])
    with settings(tmp_path / "pipeline.yaml", assignments(options), None) as configuration:
        section = configuration.values.benchmark
    assert (section.request, section.expect) == (Path("other.json").resolve(), None)


def test_a_pull_is_measured_from_where_the_image_was_found() -> None:
    known = RegistryLayers(repositories=(Repository("registry.example.com/known"),))
    reference = Reference.parse("other.example.com/digits:new")
    image = RegistryImage(application=reference, registries=Registries(repositories=()))
    found = measured_from(known, image)
    assert found is not None
    assert found.repositories == (reference.repository, *known.repositories)
    assert measured_from(known, EngineImage("digits", Digest.of(b"digits"))) == known
