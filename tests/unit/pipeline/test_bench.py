"""What `pipeline bench` shows."""

import pytest

from pipeline.bench import report
from pipeline.model import Comparison, LoadResult, MetricComparison
from tests.unit.policies.evidence import benchmark

SAME = Comparison(reference="digits:old", how="same digest", rounds=0)
P99 = MetricComparison(
    metric="p99_ms", baseline=8, candidate=9, relative_low=0.1, relative_high=0.2, rounds=5
)


def shown(comparison: Comparison, capsys: pytest.CaptureFixture[str]) -> str:
    made = benchmark().model_copy(update={"comparison": comparison})
    assert report(made, (), lambda document: document, as_json=False) == 0
    return capsys.readouterr().out


def test_a_comparison_says_how_it_was_made(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(SAME.model_copy(update={"how": "in turn", "metrics": (P99,)}), capsys)
    assert "compared with digits:old, in turn on the same machine" in said
    assert "p99 (ms)" in said


def test_the_same_image_has_an_explanation_and_no_empty_table(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(SAME, capsys)
    assert "compared with digits:old, the same digest, so there is nothing to compare" in said
    assert "95 % interval" not in said


def test_a_long_name_stands_apart_from_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    load = LoadResult(
        shape="poisson", rate_rps=100, duration_s=2, requests=200, errors=0, throughput_rps=99.5
    )
    made = benchmark().model_copy(update={"further_loads": (load,)})
    report(made, (), lambda document: document, as_json=False)
    assert "100/s at random 99.5 good answers/s" in capsys.readouterr().out
