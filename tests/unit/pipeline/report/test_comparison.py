"""The new image beside the deployed one: numbers, interval and rounds of both, in words and as a table."""

from datetime import UTC, datetime

from pipeline.model import BenchmarkReport, Comparison, MetricComparison
from pipeline.record import Record, StageRecord, Status
from pipeline.report.comparison import bars, in_words, markdown
from pipeline.report.phrases import describe
from tests.unit.policies.evidence import benchmark

SLOWER = MetricComparison(
    metric="p99_ms",
    baseline=8.1,
    candidate=9.9,
    relative_low=0.17,
    relative_high=0.27,
    rounds=5,
    baseline_rounds=(8.0, 8.1, 8.2, 8.1, 8.1),
    candidate_rounds=(9.9, 9.7, 10.1, 9.9, 9.9),
)
MEMORY = MetricComparison(metric="peak_memory_bytes", baseline=212e6, candidate=210e6, rounds=1)


def report(how: str = "in turn", *metrics: MetricComparison) -> BenchmarkReport:
    comparison = Comparison.model_validate(
        {
            "reference": "registry.example/digits@sha256:1",
            "how": how,
            "rounds": 5,
            "metrics": metrics,
            "ended": "no more than 5 rounds are allowed: p99 undecided",
        }
    )
    return benchmark().model_copy(update={"comparison": comparison})


def record(made: BenchmarkReport) -> Record:
    stage = StageRecord(
        name="benchmark",
        gives="BenchmarkReport",
        status=Status.PASSED,
        artifact=made.model_dump(mode="json"),
    )
    return Record(run="1", started_at=datetime(2026, 1, 1, tzinfo=UTC), stages=(stage,))


def test_the_table_shows_both_the_interval_and_each_round() -> None:
    text = "\n".join(markdown(record(report("in turn", SLOWER, MEMORY))))
    assert "5 rounds in turn on the same machine" in text
    assert "| p99 (ms) | 8.1 | 9.9 | +22 % | +17 % to +27 % | ▇▇▇▇▇ ████" in text
    assert "| peak memory (MB) | 212 | 210 | -0.9 % | one run each |  |" in text
    assert "- no more than 5 rounds are allowed: p99 undecided" in text


def test_one_line_says_how_it_compares() -> None:
    assert "against the deployed image p99 +22 %" in describe(report("in turn", SLOWER))
    assert list(in_words(report("same digest"))) == ["the deployed image is this one"]
    missing = benchmark().model_copy(update={"comparison_missing": "nothing is deployed"})
    assert "not compared: nothing is deployed" in describe(missing)
    assert list(in_words(benchmark())) == []
    assert list(markdown(record(benchmark()))) == []


def test_bars_share_one_scale() -> None:
    assert bars((1.0, 8.0), (4.0,)) == "▂█ ▅"
    assert bars((), ()) == ""
