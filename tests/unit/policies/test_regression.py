"""A regression: refused beyond the limit, passed within it, and a case of its own in between."""

import pytest

from pipeline.errors import ConfigurationError
from pipeline.model import BenchmarkReport, Comparison, Metric, MetricComparison
from tests.unit.policies.evidence import benchmark
from tests.unit.policies.test_rules import judge, messages

REFERENCE = "registry.example/models/digits@sha256:" + "0" * 64
LIMIT = "maximum_regression: {p99_ms: 10%, throughput_rps: 0.05}, least_difference: {p99_ms: 1.0}"


def metric(name: Metric, old: float, new: float, low: float | None, high: float | None) -> MetricComparison:
    return MetricComparison(
        metric=name,
        baseline=old,
        candidate=new,
        relative_low=low,
        relative_high=high,
        rounds=7 if low is not None else 1,
    )


SAME_THROUGHPUT = metric("throughput_rps", 800.0, 801.0, -0.01, 0.012)


def report(*found: MetricComparison, ended: str = "", notes: tuple[str, ...] = ()) -> BenchmarkReport:
    comparison = Comparison(
        reference=REFERENCE, how="in turn", rounds=7, metrics=found, ended=ended, notes=notes
    )
    return benchmark().model_copy(update={"comparison": comparison})


def test_what_is_worse_beyond_the_limit_is_refused_with_all_numbers() -> None:
    slower = report(metric("p99_ms", 8.1, 9.9, 0.17, 0.27), metric("throughput_rps", 812, 690, -0.17, -0.13))
    assert messages(f"{{rule: performance, {LIMIT}}}", slower) == [
        (
            "p99 rose from 8.1 ms to 9.9 ms (+22 %, 95 % interval +17 % to +27 %, 7 rounds in turn); "
            "at most +10 % and 1 ms are allowed"
        ),
        (
            "throughput fell from 812 requests/s to 690 requests/s (-15 %, 95 % interval -17 % to -13 %, "
            "7 rounds in turn); at most -5 % is allowed"
        ),
    ]


@pytest.mark.parametrize(
    "found",
    [
        metric("p99_ms", 8.1, 6.5, -0.25, -0.15),  # better
        metric("p99_ms", 8.1, 8.3, -0.02, 0.08),  # noise
        metric("p99_ms", 2.0, 2.6, 0.25, 0.35),  # more than a tenth, but less than a millisecond
    ],
)
def test_what_is_not_worse_beyond_both_parts_of_the_limit_passes(found: MetricComparison) -> None:
    verdict = judge(f"{{rule: performance, {LIMIT}}}", report(found, SAME_THROUGHPUT))
    assert (verdict.passed, verdict.notes) == (True, ())


def test_an_interval_on_both_sides_of_the_limit_is_told_by_default_and_refused_on_request() -> None:
    ended = "no more than 15 rounds are allowed: p99 undecided"
    unclear = report(metric("p99_ms", 10, 11.5, 0.02, 0.3), SAME_THROUGHPUT, ended=ended)
    told = (
        "inconclusive: p99 rose from 10.0 ms to 11.5 ms (+15 %, 95 % interval +2.0 % to +30 %, 7 rounds in "
        f"turn); at most +10 % and 1 ms are allowed; {ended}"
    )
    verdict = judge(f"{{rule: performance, {LIMIT}}}", unclear)
    assert (verdict.passed, verdict.notes) == (True, (told,))
    assert judge(f"{{rule: performance, inconclusive: warn, {LIMIT}}}", unclear).passed
    for choice in ("inconclusive: fail", "still_inconclusive: fail"):
        assert messages(f"{{rule: performance, {choice}, {LIMIT}}}", unclear) == [told]


def test_one_run_each_is_never_enough_to_refuse() -> None:
    recorded = report(metric("p99_ms", 10, 20, None, None), SAME_THROUGHPUT)
    verdict = judge(f"{{rule: performance, {LIMIT}}}", recorded)
    assert verdict.passed
    assert verdict.notes == (
        (
            "inconclusive: p99 rose from 10.0 ms to 20.0 ms (+100 %, one run each, at different times); "
            "at most +10 % and 1 ms are allowed"
        ),
    )
    assert not judge(
        f"{{rule: performance, {LIMIT}}}", report(metric("p99_ms", 10, 10.5, None, None), SAME_THROUGHPUT)
    ).notes


def test_a_missing_comparison_has_an_option_of_its_own() -> None:
    lacking = benchmark().model_copy(update={"comparison_missing": "it is for linux/arm64 alone"})
    told = "not compared with the deployed image: it is for linux/arm64 alone"
    verdict = judge(f"{{rule: performance, {LIMIT}}}", lacking)
    assert (verdict.passed, verdict.notes) == (True, (told,))
    assert messages(f"{{rule: performance, missing_comparison: fail, {LIMIT}}}", lacking) == [told]
    (unset,) = judge(f"{{rule: performance, {LIMIT}}}", benchmark()).notes
    assert "`benchmark.baseline` is not set" in unset
    assert not judge("{rule: performance}", lacking).notes


def test_a_metric_without_rounds_is_missing_too() -> None:
    note = "throughput is not compared: the load generator may be the bottleneck"
    half = report(metric("p99_ms", 10, 10, -0.01, 0.01), notes=(note,))
    assert messages(f"{{rule: performance, missing_comparison: fail, {LIMIT}}}", half) == [note]


def test_the_same_digest_is_no_slower() -> None:
    same = Comparison(reference=REFERENCE, how="same digest", rounds=0)
    verdict = judge(
        f"{{rule: performance, missing_comparison: fail, {LIMIT}}}",
        benchmark().model_copy(update={"comparison": same}),
    )
    assert verdict.passed


def test_a_share_that_is_none_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigurationError, match=r"pipeline.yaml:2.*expected a share such as 10%"):
        judge("{rule: performance, maximum_regression: {p99_ms: ten%}}", benchmark())
    with pytest.raises(ConfigurationError, match="p99"):
        judge("{rule: performance, maximum_regression: {p98_ms: 10%}}", benchmark())
