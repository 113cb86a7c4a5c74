import pytest

from pipeline.artifacts import Artifacts
from pipeline.model import BenchmarkReport, PushedImage, ScanReport, Skipped, SuiteReport

REPORT = SuiteReport(command=("true",), exit_code=0, duration_s=0.1)
SKIPPED = Skipped(stage="scan", gives="ScanReport", reason="scanned at night")


def test_an_artifact_is_found_by_its_type() -> None:
    have = Artifacts(REPORT)
    assert have[SuiteReport] is REPORT
    assert have.get(ScanReport) is None
    with pytest.raises(KeyError):
        have[ScanReport]


def test_adding_makes_a_copy() -> None:
    before = Artifacts()
    after = before.plus(REPORT)
    assert SuiteReport in after
    assert SuiteReport not in before


def test_a_stated_reason_stands_for_each_missing_type() -> None:
    have = Artifacts(SKIPPED, SKIPPED.model_copy(update={"stage": "benchmark", "gives": "BenchmarkReport"}))
    assert ScanReport in have
    assert BenchmarkReport in have
    assert PushedImage not in have
    assert have.skipped(ScanReport) == SKIPPED
    assert have.get(ScanReport) is None
